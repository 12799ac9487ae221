/** A backtest of the text in the editor: what would have become of executions that have ended. */

import { api, body, type Schemas } from "../api/client";
import { at, type Json, member, NULL, parse } from "../json/json";

/** An execution in which something differs: the value then, and that of the draft, with all digits. */
export interface Example {
  execution_id: string;
  place: string;
  before: Json;
  after: Json;
}

export interface Group extends Omit<Schemas["DifferenceView"], "examples"> {
  examples: readonly Example[];
}

export interface Page extends Omit<Schemas["BacktestView"], "kinds"> {
  kinds: readonly Group[];
}

/** The kinds of differences, from those that a sender or a service would notice to those that only the flow sees. */
export const KINDS = ["outcome", "new call", "dropped call", "changed call", "path", "output"] as const;
export type Kind = (typeof KINDS)[number];

const PAGE = 10;

/** Compare a text with some of the newest executions of its flow, a page at a time. `tell`: called after each page. */
export async function backtest(
  text: string,
  most: number,
  tell: (result: Page) => void,
  isStale: () => boolean,
): Promise<void> {
  let result: Page | null = null;
  while (!isStale()) {
    const left: number = most - (result?.executions ?? 0);
    const cursor: string | null = result?.next ?? null;
    const data = await body(
      api.POST("/api/v1/backtest", {
        params: { query: { limit: Math.min(PAGE, left), ...(cursor && { cursor }) } },
        body: { text },
        parseAs: "text",
      }),
    );
    const page = readPage(data as unknown as string);
    if (isStale()) return;
    result = result ? joined(result, page) : page;
    tell(result);
    if (result.next === null || result.executions >= most) return;
  }
}

/** Read a page, whose values keep their digits. */
export function readPage(data: string): Page {
  const view: Schemas["BacktestView"] = JSON.parse(data);
  const exact = parse(data);
  const kinds = view.kinds.map((group, kind) => ({
    ...group,
    examples: group.examples.map(({ execution_id, place }, index) => {
      const example = at(exact, `/kinds/${kind}/examples/${index}`)?.value;
      const given = (name: string) => member(example, name) ?? NULL;
      return { execution_id, place, before: given("before"), after: given("after") };
    }),
  }));
  return { ...view, kinds };
}

const MOST_EXAMPLES = 10;

/** Two pages as one. */
export function joined(first: Page, second: Page): Page {
  const kinds = [...first.kinds];
  for (const group of second.kinds) {
    const at = kinds.findIndex(({ kind, step }) => kind === group.kind && step === group.step);
    const before = kinds[at];
    if (before)
      kinds[at] = {
        ...before,
        count: before.count + group.count,
        examples: [...before.examples, ...group.examples].slice(0, MOST_EXAMPLES),
      };
    else kinds.push(group);
  }
  const left_out = [...first.left_out];
  for (const group of second.left_out) {
    const at = left_out.findIndex(({ why, step }) => why === group.why && step === group.step);
    const before = left_out[at];
    if (before) left_out[at] = { ...before, count: before.count + group.count };
    else left_out.push(group);
  }
  return {
    ...second,
    executions: first.executions + second.executions,
    same: first.same + second.same,
    unknown: first.unknown + second.unknown,
    kinds,
    left_out,
  };
}

/** The differences by kind, the most frequent ones of each kind first. */
export function byKind(groups: readonly Group[]): { kind: string; groups: Group[] }[] {
  const names = [...KINDS, ...new Set(groups.map(({ kind }) => kind))];
  return [...new Set<string>(names)].flatMap((kind) => {
    const own = groups.filter((group) => group.kind === kind).sort((one, other) => other.count - one.count);
    return own.length > 0 ? [{ kind, groups: own }] : [];
  });
}
