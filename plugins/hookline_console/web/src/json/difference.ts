/** The difference between two JSON values. */

import { children, type Json, type Key, print } from "./json";

export type Difference =
  | { readonly kind: "added"; readonly keys: readonly Key[]; readonly after: Json }
  | { readonly kind: "removed"; readonly keys: readonly Key[]; readonly before: Json }
  | { readonly kind: "changed"; readonly keys: readonly Key[]; readonly before: Json; readonly after: Json };

/** The differences, in the order of the later value; the removed ones come after the others around them. At most `most`. */
export function differences(before: Json, after: Json, most = 500): Difference[] {
  const found: Difference[] = [];
  const compare = (old: Json, now: Json, keys: readonly Key[]) => {
    if (old.kind !== now.kind || (old.kind !== "object" && old.kind !== "array")) {
      if (print(old, "") !== print(now, "")) {
        found.push({ kind: "changed", keys, before: old, after: now });
      }
      return;
    }
    const olds = new Map(children(old));
    const seen = new Set<Key>();
    for (const [key, inner] of children(now)) {
      seen.add(key);
      const was = olds.get(key);
      if (was === undefined) {
        found.push({ kind: "added", keys: [...keys, key], after: inner });
      } else {
        compare(was, inner, [...keys, key]);
      }
    }
    for (const [key, was] of olds) {
      if (!seen.has(key)) {
        found.push({ kind: "removed", keys: [...keys, key], before: was });
      }
    }
  };
  compare(before, after, []);
  return found.slice(0, most);
}
