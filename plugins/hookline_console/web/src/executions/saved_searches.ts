/** The searches that a viewer has saved. They are kept in the browser, since the server knows no viewers. */

const KEY = "hookline-searches";

export interface SavedSearch {
  name: string;
  /** The query of the page's URL, without `?`. */
  query: string;
}

type Kept = Pick<Storage, "getItem" | "setItem">;

/** The saved searches in the order of their names; none if what is kept can't be read. */
export function savedSearches(storage: Kept): SavedSearch[] {
  try {
    const kept: unknown = JSON.parse(storage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter(isSearch) : [];
  } catch {
    return [];
  }
}

/** Save a search; one with the same name is replaced. */
export function saveSearch(storage: Kept, search: SavedSearch): void {
  const others = savedSearches(storage).filter((one) => one.name !== search.name);
  const all = [...others, search].sort((left, right) => left.name.localeCompare(right.name));
  storage.setItem(KEY, JSON.stringify(all));
}

export function removeSearch(storage: Kept, name: string): void {
  storage.setItem(KEY, JSON.stringify(savedSearches(storage).filter((one) => one.name !== name)));
}

function isSearch(value: unknown): value is SavedSearch {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as SavedSearch).name === "string" &&
    typeof (value as SavedSearch).query === "string"
  );
}
