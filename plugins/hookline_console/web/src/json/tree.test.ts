import { expect, test } from "vitest";
import { parse } from "./json";
import { around, move, opened, PAGE, search, tree } from "./tree";

const ORDER = parse('{"number": 7, "lines": [{"sku": "a"}, {"sku": "b"}], "empty": {}, "note": "later"}');
const shown = (open: string[]) => tree(ORDER, { open: new Set(open) }).map((row) => row.pointer);

test("only what is inside open containers has rows", () => {
  expect(shown([])).toEqual([""]);
  expect(shown([""])).toEqual(["", "/number", "/lines", "/empty", "/note"]);
  expect(shown(["", "/lines", "/lines/1"])).toEqual([
    "",
    "/number",
    "/lines",
    "/lines/0",
    "/lines/1",
    "/lines/1/sku",
    "/empty",
    "/note",
  ]);
});

test("a row has its level and its place among the others, and an empty container can't be opened", () => {
  const rows = tree(ORDER, { open: new Set(["", "/lines"]) });
  expect(rows.find((row) => row.pointer === "/lines/1")).toMatchObject({
    level: 3,
    position: 2,
    siblings: 2,
  });
  expect(rows.find((row) => row.pointer === "/empty")).toMatchObject({ expandable: false, size: 0 });
});

test("a long list is shown page by page", () => {
  const list = parse(`[${Array.from({ length: 1000 }, (_, index) => index)}]`);
  const rows = tree(list, { open: new Set([""]) });
  expect(rows).toHaveLength(PAGE + 2);
  expect(rows.at(-1)).toMatchObject({ kind: "more", pointer: "", size: 800 });
  expect(tree(list, { open: new Set([""]), shown: new Map([["", 1000]]) })).toHaveLength(1001);
});

test("what the server left out counts, and is offered", () => {
  const cuts = new Map([
    ["/lines", { pointer: "/lines", size: 500, shown: 2 }],
    ["/note", { pointer: "/note", size: 9000, shown: 5 }],
  ]);
  const rows = tree(ORDER, { open: new Set(["", "/lines"]), cuts });
  expect(rows.find((row) => row.pointer === "/lines")).toMatchObject({ size: 500, kind: "value" });
  expect(rows.find((row) => row.kind === "more")).toMatchObject({ pointer: "/lines", size: 498 });
  expect(rows.find((row) => row.pointer === "/note")?.cut?.size).toBe(9000);
});

test("at first the outermost containers are open, as long as there is room", () => {
  expect([...opened(ORDER)]).toEqual(["", "/lines", "/lines/0", "/lines/1"]);
  expect([...opened(ORDER, 5)]).toEqual([""]);
});

test("the search finds keys and texts, and opens what is around them", () => {
  expect(search(ORDER, "SKU")).toEqual(["/lines/0/sku", "/lines/1/sku"]);
  expect(search(ORDER, "late")).toEqual(["/note"]);
  expect(search(ORDER, "")).toEqual([]);
  expect(around("/lines/0/sku")).toEqual(["", "/lines", "/lines/0"]);
});

test("the keys move as in a tree", () => {
  const rows = tree(ORDER, { open: new Set(["", "/lines"]) });
  const at = (pointer: string) => rows.findIndex((row) => row.pointer === pointer);
  expect(move(rows, at("/lines"), "ArrowRight", 10)).toEqual({ to: at("/lines/0") });
  expect(move(rows, at("/lines/0"), "ArrowRight", 10)).toEqual({ toggle: at("/lines/0") });
  expect(move(rows, at("/lines/0"), "ArrowLeft", 10)).toEqual({ to: at("/lines") });
  expect(move(rows, at("/lines"), "ArrowLeft", 10)).toEqual({ toggle: at("/lines") });
  expect(move(rows, at("/number"), "ArrowRight", 10)).toBeUndefined();
  expect(move(rows, 0, "ArrowUp", 10)).toEqual({ to: 0 });
  expect(move(rows, 0, "End", 10)).toEqual({ to: rows.length - 1 });
  expect(move(rows, 1, "Enter", 10)).toEqual({ choose: 1 });
});
