import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { MenuAt, type MenuItem } from "../ui/Menu";

interface MenuButtonProps {
  label: string;
  /** Called when the menu opens, since a form has many of them. */
  items: () => readonly MenuItem[];
  children: ComponentChildren;
}

/** A small button that opens a menu. A `select` would act on the first arrow key, before anything is chosen. */
export function MenuButton({ label, items, children }: MenuButtonProps) {
  const [at, setAt] = useState<{ x: number; y: number } | null>(null);
  return (
    <>
      <button
        type="button"
        class="button button-small"
        aria-haspopup="menu"
        aria-label={label}
        title={label}
        onClick={(event) => {
          const { left, bottom } = event.currentTarget.getBoundingClientRect();
          setAt({ x: left, y: bottom + 4 });
        }}
      >
        {children}
      </button>
      {at && <MenuAt label={label} items={items()} at={at} onClose={() => setAt(null)} />}
    </>
  );
}
