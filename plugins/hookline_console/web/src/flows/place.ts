/** The place of a flow's page, which is in its URL, so that it can be shared. */

import { useLocation } from "preact-iso";

export interface Place {
  tab: string;
  /** The execution whose path is shown. */
  execution: string;
  /** The version that is shown; by default that of the execution, or the one that serves. */
  version: string;
  /** The pointer of the selected step. */
  step: string;
}

const NAMES: readonly (keyof Place)[] = ["tab", "execution", "version", "step"];

/** The place, and a function that changes a part of it. */
export function usePlace(): readonly [Place, (changes: Partial<Place>) => void] {
  const { path, query, route } = useLocation();
  const place = Object.fromEntries(NAMES.map((name) => [name, query[name] ?? ""])) as unknown as Place;
  const change = (changes: Partial<Place>) => {
    const parts = Object.entries({ ...place, ...changes }).filter(([, value]) => value !== "");
    const text = new URLSearchParams(parts).toString();
    route(text ? `${path}?${text}` : path, true);
  };
  return [place, change];
}
