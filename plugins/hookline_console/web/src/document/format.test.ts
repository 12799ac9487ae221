import { expect, test } from "vitest";
import schema from "../../../../../flows/flow.schema.json";
import { format } from "./edits";
import { readDocument } from "./flow_document";
import { formatFlow, isSameFlow, layout, ordersOf } from "./format";
import generated from "./formatted_flows.json";
import { parse, type Tree } from "./tree";

const orders = ordersOf(schema);
const shipped = import.meta.glob<string>(
  ["../../../../../flows/*.json", "!../../../../../flows/*.test.json", "!../../../../../flows/*.schema.json"],
  { query: "?raw", import: "default", eager: true },
);

function formatted(text: string): string {
  return formatFlow(parse(text).tree as Tree, orders);
}

test.each(generated.map(({ text, formatted }, index) => ({ index, text, canonical: formatted })))(
  "generated flow $index is written as `hookline fmt` writes it",
  ({ text, canonical }) => {
    expect(formatted(text)).toBe(canonical);
    expect(formatted(canonical)).toBe(canonical);
  },
);

test("the shipped flows are written as they are", () => {
  expect(Object.keys(shipped).length).toBeGreaterThan(15);
  for (const [file, text] of Object.entries(shipped)) expect(formatted(text), file).toBe(text);
});

test("a canonical text needs no change, and one that isn't JSON gets none", () => {
  const text = Object.values(shipped)[0] as string;
  expect(format(readDocument(text), orders)).toMatchObject({ insert: "" });
  expect(format(readDocument(text.replace(/\}\s*$/, "")), orders)).toBeNull();
});

test.each(['{"a": "\\d"}', '{"a": "\\u12"}', '{"a": "b', '{"a": ["b\n"]}'])(
  "a text that is still being written is shown as far as it goes: %s",
  (text) => {
    expect(layout(parse(text).tree as Tree, 0, 0)).toContain('"a"');
  },
);

test("a flow is the same in another layout, and one that isn't JSON is the same as none", () => {
  expect(isSameFlow('{"id": "a", "steps": []}', '{"steps":[],"id":"\\u0061"}', orders)).toBe(true);
  expect(isSameFlow('{"id": "a"}', '{"id": "b"}', orders)).toBe(false);
  expect(isSameFlow('{"id": "a"', '{"id": "a"', orders)).toBe(false);
});

test("the orders are those of the language", () => {
  expect(orders.flow.slice(0, 4)).toEqual(["$schema", "id", "title", "state"]);
  expect([...orders.blocks.keys()]).toEqual(["switch", "foreach", "parallel", "try"]);
  expect(orders.case).toEqual(["when", "otherwise", "steps"]);
});
