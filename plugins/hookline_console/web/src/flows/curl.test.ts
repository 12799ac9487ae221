import { expect, test } from "vitest";
import { base64OfText, curlOf, textOfBase64 } from "./curl";

test("a command has the parts of the request, quoted for a shell", () => {
  const headers = [["content-type", "application/json"]] as const;
  const request = { url: "https://h.example/hook/f", method: "POST", headers, body: `{"it's": "$HOME"}` };
  expect(curlOf(request)).toBe(
    [
      "curl 'https://h.example/hook/f' \\",
      "  --header 'content-type: application/json' \\",
      `  --data-binary '{"it'\\''s": "$HOME"}'`,
    ].join("\n"),
  );
});

test("the method is named where curl wouldn't choose it", () => {
  const request = { url: "https://h.example/hook/f", headers: [], body: "" };
  expect(curlOf({ ...request, method: "GET" })).toBe("curl 'https://h.example/hook/f'");
  expect(curlOf({ ...request, method: "POST" })).toContain("--request 'POST'");
  expect(curlOf({ ...request, method: "PUT", body: "x" })).toContain("--request 'PUT'");
});

test("texts go through base64, and other bytes are none", () => {
  expect(textOfBase64(base64OfText("größer → 1"))).toBe("größer → 1");
  expect(textOfBase64("/w==")).toBe(null);
});
