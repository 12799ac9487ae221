import { describe, expect, it } from "vitest";
import { NULL, print } from "../json/json";
import { byKind, joined, readPage } from "./backtest";

const group = (kind: string, step: string, count: number) => ({
  kind,
  step,
  count,
  examples: [{ execution_id: `${kind} ${count}`, place: step, before: NULL, after: NULL }],
});
const page = (kinds: ReturnType<typeof group>[], next: string | null) => ({
  flow_id: "orders",
  executions: 10,
  same: 3,
  unknown: 1,
  kinds,
  left_out: [{ why: "it was cancelled", step: "", count: 1, examples: [] }],
  next,
});

describe("a backtest", () => {
  it("shows values with all digits", () => {
    const text = JSON.stringify(page([group("output", "order", 1)], null)).replace(
      '"before":{"kind":"null"},"after":{"kind":"null"}',
      '"before": 12345678901234567890, "after": {"price": 1.10}',
    );
    const [example] = readPage(text).kinds[0]?.examples ?? [];
    expect(example && [print(example.before, ""), print(example.after, "")]).toEqual([
      "12345678901234567890",
      '{"price": 1.10}',
    ]);
  });

  it("joins its pages", () => {
    const all = joined(
      page([group("output", "order", 2), group("outcome", "", 1)], "a"),
      page([group("output", "order", 3), group("path", "", 1)], null),
    );
    expect([all.executions, all.same, all.unknown, all.next]).toEqual([20, 6, 2, null]);
    expect(all.kinds.map(({ kind, count }) => [kind, count])).toEqual([
      ["output", 5],
      ["outcome", 1],
      ["path", 1],
    ]);
    expect(all.kinds[0]?.examples.map(({ execution_id }) => execution_id)).toEqual(["output 2", "output 3"]);
    expect(all.left_out).toEqual([{ why: "it was cancelled", step: "", count: 2, examples: [] }]);
  });

  it("shows first what others would notice, and what is most frequent", () => {
    const groups = [group("output", "a", 1), group("output", "b", 4), group("new call", "c", 1)];
    expect(byKind(groups).map(({ kind, groups }) => [kind, groups.map(({ step }) => step)])).toEqual([
      ["new call", ["c"]],
      ["output", ["b", "a"]],
    ]);
  });
});
