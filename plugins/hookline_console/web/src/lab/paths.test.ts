import { describe, expect, it } from "vitest";
import { LANGUAGES } from "../document/languages";
import { pathIn, withPath } from "./paths";

const every = (keys: readonly (string | number)[]) => LANGUAGES.map((language) => pathIn(language, keys));

describe("a path", () => {
  it("is written in the manner of each language", () => {
    expect(every(["body", "lines", 0, "sku"])).toEqual([
      "$.body.lines[0].sku",
      "body.lines[0].sku",
      "body.lines[0].sku",
      "body.lines[0].sku",
    ]);
  });

  it("quotes a key that is no name", () => {
    expect(every(["body", "ship to"])).toEqual([
      "$.body['ship to']",
      "body['ship to']",
      "body.`ship to`",
      'body."ship to"',
    ]);
    expect(every(["body", "it's"])).toEqual([
      "$.body['it\\'s']",
      "body['it\\'s']",
      "body.`it's`",
      'body."it\'s"',
    ]);
  });

  it("never names an operator", () => {
    expect(pathIn("jsonata", ["body", "in"])).toBe("body.`in`");
  });
});

describe("an expression", () => {
  const total = ["body", "total"];

  it("that is only a path is replaced", () => {
    expect(withPath("$.body.none", "jsonpath", total, 3)).toBe("$.body.total");
    expect(withPath("{{ body.none }}", "jinja", total, null)).toBe("{{ body.total }}");
    expect(withPath("no: {{ body.none }}!", "jinja", total, 8)).toBe("no: {{ body.total }}!");
    expect(withPath("body.`a b`", "jsonata", total, null)).toBe("body.total");
    expect(withPath("body.none[0].", "jmespath", total, null)).toBe("body.total");
  });

  it("gets the path at the cursor", () => {
    expect(withPath("{{ round() }}", "jinja", total, 9)).toBe("{{ round(body.total) }}");
    expect(withPath("$sum()", "jsonata", total, 5)).toBe("$sum(body.total)");
    expect(withPath("$.body[?@.id == ]", "jsonpath", ["vars", "id"], 16)).toBe("$.body[?@.id == $.vars.id]");
  });

  it("may be a text, which gets Jinja unless it is empty", () => {
    expect(withPath("", "text", total, null)).toBe("$.body.total");
    expect(withPath("order ", "text", total, null)).toBe("order {{ body.total }}");
    expect(withPath("a {{ body.id }} b", "jinja", total, 0)).toBe("{{ body.total }}a {{ body.id }} b");
  });
});
