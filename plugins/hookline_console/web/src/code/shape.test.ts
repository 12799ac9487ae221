import { expect, test } from "vitest";
import { parseShape } from "./shape";

test("the members and the items of a type are known", () => {
  const shape = parseShape("Order {id: text, lines?: list of {sku: text, price: number | null, …}, …}");
  expect([...shape.members.keys()]).toEqual(["id", "lines"]);
  expect([...(shape.members.get("lines")?.item?.members.keys() ?? [])]).toEqual(["sku", "price"]);
  expect(shape.members.get("lines")?.item?.members.get("price")?.text).toBe("number | null");
});

test.each([
  ["list of (text | {a: number})", "a"],
  ["any, such as list of {a: text}", "a"],
])("the items of %s", (text, name) => {
  expect(parseShape(text).item?.members.has(name)).toBe(true);
});

test("several types have the members of all", () => {
  expect([...parseShape("{a: text} | {b: text} | null").members.keys()]).toEqual(["a", "b"]);
  for (const text of ["any", "", "{", "text"]) expect(parseShape(text).members.size).toBe(0);
});
