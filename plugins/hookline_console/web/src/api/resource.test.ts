import { expect, test } from "vitest";
import { type Page, withFirstPage } from "./resource";

const page = (ids: string, next: string | null): Page<{ id: string; version: number }> => ({
  items: [...ids].map((id) => ({ id, version: 1 })),
  next,
});
const merged = (
  first: Page<{ id: string; version: number }>,
  known: Page<{ id: string; version: number }>,
) => {
  const { items, next } = withFirstPage(first, known, (item) => item.id);
  return [items.map((item) => item.id).join(""), next];
};

test("rows of further pages stay below a first page that was loaded again", () => {
  expect(merged(page("abc", "c"), page("abcdef", "f"))).toEqual(["abcdef", "f"]);
});

test("new rows come above, and push none away", () => {
  expect(merged(page("xab", "b"), page("abcdef", "f"))).toEqual(["xabcdef", "f"]);
});

test("rows that are gone from the first page are gone", () => {
  expect(merged(page("acd", "d"), page("abcdef", "f"))).toEqual(["acdef", "f"]);
});

test("a first page without a common row begins anew, and one that is the last is all", () => {
  expect(merged(page("xyz", "z"), page("abcdef", "f"))).toEqual(["xyz", "z"]);
  expect(merged(page("ab", null), page("abcdef", "f"))).toEqual(["ab", null]);
});

test("the rows of the first page are the new ones", () => {
  const first = page("abc", "c");
  const known = page("abcd", null);
  const { items } = withFirstPage(
    { ...first, items: first.items.map((item) => ({ ...item, version: 2 })) },
    known,
    (item) => item.id,
  );
  expect(items.map((item) => item.version)).toEqual([2, 2, 2, 1]);
});
