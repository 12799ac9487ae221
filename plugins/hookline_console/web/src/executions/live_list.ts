/** The list of executions while it is open: pages, and what happens to the executions meanwhile. */

import type { Schemas } from "../api/client";
import type { HooklineEvent } from "../api/events";

export type Summary = Schemas["SummaryView"];

export interface LiveList {
  /** Newest first. */
  rows: readonly Summary[];
  /** The cursor of the next page; null on the last one. */
  next: string | null;
  /** Newer executions that aren't shown yet, because the viewer looks at others. */
  fresh: readonly Summary[];
  /** True if more has happened than is known: then the list must be loaded again to show it. */
  behind: boolean;
}

interface Page {
  items: readonly Summary[];
  next: string | null;
}

export function firstPage(page: Page): LiveList {
  return { rows: page.items, next: page.next, fresh: [], behind: false };
}

export function withNextPage(list: LiveList, page: Page): LiveList {
  const known = new Set(list.rows.map((row) => row.id));
  return {
    ...list,
    rows: [...list.rows, ...page.items.filter((row) => !known.has(row.id))],
    next: page.next,
  };
}

/**
 * Take over the newest page, loaded again. What it covers is as it says; older rows stay.
 *
 * `hold`: the viewer is further down, so newer executions are held back, and nothing moves.
 */
export function refreshed(list: LiveList, page: Page, hold: boolean): LiveList {
  if (list.behind) return hold ? list : firstPage(page);
  const [top] = list.rows;
  const oldest = page.items.at(-1);
  if (top === undefined || oldest === undefined) return firstPage(page);
  if (page.next !== null && oldest.id > top.id) {
    // More came than a page has. Showing them above the others would leave a gap.
    return hold ? { ...list, behind: true } : firstPage(page);
  }
  const covered = (row: Summary) => page.next === null || row.id >= oldest.id;
  const rest = list.rows.filter((row) => !covered(row));
  const newer = page.items.filter((row) => row.id > top.id);
  const same = page.items.filter((row) => row.id <= top.id);
  const rows = hold ? [...same, ...rest] : [...page.items, ...rest];
  return { rows, next: page.next === null ? null : list.next, fresh: hold ? newer : [], behind: false };
}

/** Show the executions that were held back. */
export function withFresh(list: LiveList): LiveList {
  return { ...list, rows: [...list.fresh, ...list.rows], fresh: [] };
}

/** The list after an event, which says the new state of an execution. */
export function afterEvent(list: LiveList, event: HooklineEvent): LiveList {
  const id = event.data.execution_id;
  const changed = list.rows.find((row) => row.id === id);
  if (changed === undefined) return list;
  const row = rowAfter(changed, event);
  return row === changed ? list : { ...list, rows: list.rows.map((one) => (one.id === id ? row : one)) };
}

function rowAfter(row: Summary, { kind, data }: HooklineEvent): Summary {
  const ended = row.finished_at !== null;
  switch (kind) {
    case "execution.started":
      return ended ? row : { ...row, state: "running", started_at: row.started_at ?? data.at ?? null };
    case "execution.waiting":
      return {
        ...row,
        state: "waiting",
        reason: data.reason ?? null,
        finished_at: null,
        error: null,
        outcome: null,
      };
    case "execution.ended":
      return {
        ...row,
        state: (data.state as Summary["state"]) ?? row.state,
        outcome: (data.outcome as Summary["outcome"]) ?? null,
        error: data.error ? { step: null, retryable: false, ...data.error } : null,
        reason: null,
        finished_at: data.at ?? null,
      };
    default:
      return row;
  }
}
