import { expect, test } from "vitest";
import { pieces } from "./visible";

const shown = (text: string, lines = false) =>
  pieces(text, lines)
    .map((piece) => (piece.escaped ? `[${piece.text}]` : piece.text))
    .join("");

test("what can't be seen, or changes the direction, is shown as its code", () => {
  expect(shown("abc\u202edef\u2066\u200b\u0007")).toBe("abc[\\u202e]def[\\u2066][\\u200b][\\u0007]");
  expect(shown("\ud800x\ufeff\u{e0041}")).toBe("[\\ud800]x[\\ufeff][\\u{e0041}]");
  expect(shown("a\u061cb\u3164c")).toBe("a[\\u061c]b[\\u3164]c");
});

test("texts of all languages, and emoji, stay as they are", () => {
  for (const text of ["Größe", "שלום", "مرحبا", "日本語", "👩‍👩‍👧 👍🏽 ❤️"]) expect(shown(text)).toBe(text);
});

test("line feeds are codes in one line, and lines where there is room for them", () => {
  expect(shown("a\nb\tc\r")).toBe("a[\\n]b[\\t]c[\\r]");
  expect(shown("a\nb\tc\r", true)).toBe("a\nb\tc[\\r]");
});
