import { expect, test } from "vitest";
import { type CapturedInfo, formFields, jsonBody, queryPairs, shownRequest, timeLeft } from "./captured";

const text = (body: string | null) => ({ body, encoding: "text" as const });

test("a body is JSON if it can be read as JSON", () => {
  expect(jsonBody(text('{"n": 1.10}'))).toEqual({
    kind: "object",
    entries: [["n", { kind: "number", source: "1.10" }]],
  });
  expect(jsonBody(text("n=1"))).toBeUndefined();
  expect(jsonBody(text(""))).toBeUndefined();
  expect(jsonBody(text(null))).toBeUndefined();
  expect(jsonBody({ body: btoa("1"), encoding: "base64" })).toBeUndefined();
});

test("a query has its parameters in their order, also repeated ones", () => {
  expect(queryPairs("b=2&a=x%20y&b=3")).toEqual([
    ["b", "2"],
    ["a", "x y"],
    ["b", "3"],
  ]);
});

test("a form has its fields, and files are none", async () => {
  const urlencoded = { ...text("a=1&b=x+y"), content_type: "application/x-www-form-urlencoded" };
  expect(await formFields(urlencoded)).toEqual([
    ["a", "1"],
    ["b", "x y"],
  ]);
  const lines = [
    "--line",
    'Content-Disposition: form-data; name="note"',
    "",
    "hello",
    "--line",
    'Content-Disposition: form-data; name="scan"; filename="a.pdf"',
    "Content-Type: application/pdf",
    "",
    "\xff",
    "--line--",
    "",
  ];
  const form = { body: btoa(lines.join("\r\n")), encoding: "base64" as const };
  expect(await formFields({ ...form, content_type: "multipart/form-data; boundary=line" })).toEqual([
    ["note", "hello"],
  ]);
});

test("the newest request is shown until one is chosen, which stays although others come and it is no longer kept", () => {
  const [one, two, three] = ["1", "2", "3"].map((id) => ({ id }) as CapturedInfo);
  if (!one || !two || !three) throw new Error("they are above");
  expect(shownRequest([], null)).toBeNull();
  expect(shownRequest([two, one], null)).toEqual({ info: two, isKept: true });
  expect(shownRequest([three, two, one], two)).toEqual({ info: two, isKept: true });
  expect(shownRequest([three], two)).toEqual({ info: two, isKept: false });
  expect(shownRequest([], two)).toEqual({ info: two, isKept: false });
});

test.each([
  [true, "2026-01-01T00:10:00Z", "10:00"],
  [true, "2026-01-01T00:00:08.2Z", "0:09"],
  [true, "2026-01-01T00:00:00Z", null],
  [false, "2026-01-01T00:10:00Z", null],
])("the time that is left of a capture", (open, expires_at, shown) => {
  expect(timeLeft({ open, expires_at }, new Date("2026-01-01T00:00:00Z"))).toBe(shown);
});
