/** The filters of the list of executions, as they are in the page's URL, and the query of the API that they mean. */

import type { paths } from "../api/schema";

/** The names in the URL. All but the last two are those of the API's list; these search the contents. */
export const FILTERS = [
  "flow_id",
  "state",
  "outcome",
  "since",
  "until",
  "error_code",
  "cause",
  "order_key",
  "tag",
  "replay_of",
  "text",
  "jsonpath",
] as const;

export type Filter = (typeof FILTERS)[number];
export type Values = Readonly<Record<string, string>>;
export type ListQuery = NonNullable<paths["/api/v1/executions"]["get"]["parameters"]["query"]>;

const UNITS: Readonly<Record<string, number>> = { m: 60, h: 3600, d: 86_400, w: 604_800 };

/** Periods that end now, as they are in the URL, so that a saved search stays one of the last hours. */
export const PERIODS = ["15m", "1h", "24h", "7d", "30d"] as const;

/** A time of the URL as one of the API: a period before now, or a time with its offset. Null if it is neither. */
export function timeOf(text: string, now: Date): string | null {
  const [, count, unit] = /^(\d{1,4})([mhdw])$/.exec(text) ?? [];
  if (count !== undefined && unit !== undefined)
    return new Date(now.getTime() - Number(count) * (UNITS[unit] ?? 0) * 1000).toISOString();
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}

/** The query of the API's list, without what searches the contents. A time that isn't one is left out. */
export function listQuery(values: Values, now: Date): ListQuery {
  const query: Record<string, string> = {};
  for (const name of FILTERS) {
    const value = values[name]?.trim();
    if (!value || name === "text" || name === "jsonpath") continue;
    const meant = name === "since" || name === "until" ? timeOf(value, now) : value;
    if (meant !== null) query[name] = meant;
  }
  return query as ListQuery;
}

/** The parts of the filters that search the contents; null if there are none. */
export function contentOf(values: Values): { text?: string; jsonpath?: string } | null {
  const found: { text?: string; jsonpath?: string } = {};
  if (values.text) found.text = values.text;
  if (values.jsonpath) found.jsonpath = values.jsonpath;
  return Object.keys(found).length === 0 ? null : found;
}
