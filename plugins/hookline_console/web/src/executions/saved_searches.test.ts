import { expect, test } from "vitest";
import { removeSearch, savedSearches, saveSearch } from "./saved_searches";

function storage(text: string | null = null) {
  const kept = { text };
  return {
    getItem: () => kept.text,
    setItem: (_: string, value: string) => {
      kept.text = value;
    },
  };
}

test("searches are saved, replaced and removed by name", () => {
  const kept = storage();
  saveSearch(kept, { name: "late", query: "state=waiting" });
  saveSearch(kept, { name: "failed", query: "state=failed" });
  saveSearch(kept, { name: "late", query: "state=waiting&since=1h" });
  expect(savedSearches(kept)).toEqual([
    { name: "failed", query: "state=failed" },
    { name: "late", query: "state=waiting&since=1h" },
  ]);
  removeSearch(kept, "late");
  expect(savedSearches(kept).map((one) => one.name)).toEqual(["failed"]);
});

test("what isn't a search is left out", () => {
  for (const text of ["nonsense", "{}", '[{"name": 1}, null, "x"]'])
    expect(savedSearches(storage(text))).toEqual([]);
});
