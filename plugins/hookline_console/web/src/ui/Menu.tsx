import "./menu.css";
import type { ComponentChildren } from "preact";
import { useId, useRef } from "preact/hooks";
import type { Scope } from "../api/session";
import { allows } from "../api/session";
import { useSession } from "../shell/SessionContext";
import { texts } from "../texts";
import { showProblem } from "./toasts";

export interface MenuItem {
  label: string;
  onSelect: () => unknown;
  scope?: Scope;
  danger?: boolean;
}

interface MenuProps {
  label: string;
  items: readonly MenuItem[];
  children: ComponentChildren;
}

/** A button that opens a list of actions. The arrow keys move in it, and Escape closes it. */
export function Menu({ label, items, children }: MenuProps) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const { me } = useSession();

  const place = () => {
    const panel = list.current;
    const anchor = button.current?.getBoundingClientRect();
    if (!panel || !anchor) return;
    const left = Math.min(anchor.right, window.innerWidth - 8) - panel.offsetWidth;
    const below = anchor.bottom + 4;
    const fits = below + panel.offsetHeight < window.innerHeight;
    panel.style.left = `${Math.max(8, left)}px`;
    panel.style.top = `${fits ? below : Math.max(8, anchor.top - 4 - panel.offsetHeight)}px`;
  };
  const options = () => [...(list.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
  const move = (event: KeyboardEvent) => {
    const all = options();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    all.at(to % all.length)?.focus();
  };
  const select = async (item: MenuItem) => {
    list.current?.hidePopover();
    try {
      await item.onSelect();
    } catch (error) {
      showProblem(error);
    }
  };
  return (
    <>
      <button
        type="button"
        ref={button}
        class="button"
        popovertarget={id}
        aria-haspopup="menu"
        aria-label={label}
        title={label}
      >
        {children}
      </button>
      <div
        id={id}
        ref={list}
        popover="auto"
        class="menu"
        role="menu"
        aria-label={label}
        onKeyDown={move}
        onToggle={(event) => {
          if (event.newState !== "open") return;
          place();
          options()[0]?.focus();
        }}
      >
        {items.map((item) => {
          const allowed = !item.scope || allows(me, item.scope);
          return (
            <button
              key={item.label}
              type="button"
              role="menuitem"
              class={`menu-item${item.danger ? " menu-danger" : ""}`}
              aria-disabled={!allowed}
              title={allowed ? undefined : texts.common.needsScope(item.scope ?? "")}
              onClick={() => allowed && select(item)}
            >
              {item.label}
            </button>
          );
        })}
      </div>
    </>
  );
}
