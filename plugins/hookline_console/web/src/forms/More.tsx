import { useRef, useState } from "preact/hooks";
import { memberOf, type Tree } from "../document/tree";
import { texts } from "../texts";
import type { Field } from "./fields";

/**
 * The fields of an object that are shown. The others can be shown, too; each has its place, so that none moves while
 * somebody writes into it, and one that was there stays once it is removed.
 */
export function useShown(fields: readonly Field[], value: Tree | undefined) {
  const [isOpen, setOpen] = useState(false);
  const seen = useRef(new Set<string>());
  for (const { name } of fields) if (memberOf(value, name)) seen.current.add(name);
  const isNeeded = (field: Field) => field.required || seen.current.has(field.name);
  return {
    shown: isOpen ? fields : fields.filter(isNeeded),
    more: fields.filter((field) => !isNeeded(field)).length,
    isOpen,
    toggle: () => setOpen(!isOpen),
  };
}

/** The button that shows the fields that aren't set. */
export function More({ count, isOpen, onToggle }: { count: number; isOpen: boolean; onToggle: () => void }) {
  if (count === 0) return null;
  return (
    <button type="button" class="button button-small form-more" aria-expanded={isOpen} onClick={onToggle}>
      {isOpen ? texts.forms.fewer : texts.forms.more(count)}
    </button>
  );
}
