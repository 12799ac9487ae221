import "./menu.css";
import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import type { Scope } from "../api/session";
import { allows } from "../api/session";
import { useSession } from "../shell/SessionContext";
import { texts } from "../texts";
import { useKeptFocus } from "./kept_focus";
import { showProblem } from "./toasts";

export interface MenuItem {
  label: string;
  onSelect: () => unknown;
  scope?: Scope;
  danger?: boolean;
  disabled?: boolean;
  /** The key that does the same, as it is shown. */
  keys?: string;
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
  useKeptFocus(button);

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
      <MenuPanel id={id} panel={list} label={label} items={items} onOpen={place} />
    </>
  );
}

interface MenuAtProps {
  label: string;
  items: readonly MenuItem[];
  /** Its place in the window. */
  at: { x: number; y: number };
  onClose: () => void;
  onKeyDown?: (event: KeyboardEvent) => void;
}

/** A list of actions at a place, while it is rendered. The focus returns to the element that had it before. */
export function MenuAt({ label, items, at, onClose, onKeyDown }: MenuAtProps) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => list.current?.showPopover(), []);
  const place = () => {
    const panel = list.current;
    if (!panel) return;
    panel.style.left = `${Math.max(8, Math.min(at.x, window.innerWidth - 8 - panel.offsetWidth))}px`;
    panel.style.top = `${Math.max(8, Math.min(at.y, window.innerHeight - 8 - panel.offsetHeight))}px`;
  };
  return (
    <MenuPanel
      id={id}
      panel={list}
      label={label}
      items={items}
      onOpen={place}
      onClose={onClose}
      {...(onKeyDown && { onKeyDown })}
    />
  );
}

interface MenuPanelProps {
  id: string;
  panel: RefObject<HTMLDivElement | null>;
  label: string;
  items: readonly MenuItem[];
  onOpen: () => void;
  onClose?: () => void;
  onKeyDown?: (event: KeyboardEvent) => void;
}

function MenuPanel({ id, panel, label, items, onOpen, onClose, onKeyDown }: MenuPanelProps) {
  const { me } = useSession();
  const options = () => [...(panel.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
  const move = (event: KeyboardEvent) => {
    const all = options();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || event.altKey) return onKeyDown?.(event);
    event.preventDefault();
    all.at(to % all.length)?.focus();
  };
  const select = async (item: MenuItem) => {
    panel.current?.hidePopover();
    try {
      await item.onSelect();
    } catch (error) {
      showProblem(error);
    }
  };
  return (
    <div
      id={id}
      ref={panel}
      popover="auto"
      class="menu"
      role="menu"
      aria-label={label}
      onKeyDown={move}
      onToggle={(event) => {
        if (event.newState !== "open") return onClose?.();
        onOpen();
        options()[0]?.focus();
      }}
    >
      {items.map((item) => {
        const allowed = !item.scope || allows(me, item.scope);
        const works = allowed && !item.disabled;
        return (
          <button
            key={item.label}
            type="button"
            role="menuitem"
            class={`menu-item${item.danger ? " menu-danger" : ""}`}
            aria-disabled={!works}
            title={allowed ? undefined : texts.common.needsScope(item.scope ?? "")}
            onClick={() => works && select(item)}
          >
            {item.label}
            {item.keys && (
              <span class="menu-keys" aria-hidden="true">
                {item.keys}
              </span>
            )}
          </button>
        );
      })}
    </div>
  );
}
