import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { bundle, FILE } from "./licenses.js";

const FIRST_PAGE = 150_000;
const GENERATION_MS = 60_000;
const { files, notices } = await bundle();

/** The file of a module, and those that are loaded with it. */
function loadedWith(isEntry) {
  const chunks = new Map(files.filter((file) => file.type === "chunk").map((file) => [file.fileName, file]));
  const loaded = new Set();
  const add = (name) => {
    if (loaded.has(name)) return;
    loaded.add(name);
    for (const other of chunks.get(name).imports) add(other);
  };
  for (const chunk of chunks.values()) if (isEntry(chunk)) add(chunk.fileName);
  return [...loaded].map((name) => chunks.get(name).code);
}

test("the first page is small", () => {
  const isFirst = (chunk) => chunk.isEntry || /overview\/Overview|ui\/plot/.test(chunk.facadeModuleId ?? "");
  const size = loadedWith(isFirst).reduce((sum, code) => sum + gzipSync(code).length, 0);
  expect(size).toBeGreaterThan(10_000);
  expect(size).toBeLessThanOrEqual(FIRST_PAGE);
});

test("the page has neither scripts nor styles of its own, which its policy forbids", () => {
  const page = files.find((file) => file.fileName === "index.html").source;
  expect(page).not.toMatch(/<style|style=|<script(?![^>]*src=)/);
});

test("the notices are those of the packages in the bundle: `npm run licenses` writes them", () => {
  expect(readFileSync(FILE, "utf8")).toBe(notices);
});

test(
  "the types of the API are those of its description: `npm run api` writes them",
  () => {
    const file = join(mkdtempSync(join(tmpdir(), "api-")), "schema.ts");
    const command = JSON.parse(readFileSync("package.json", "utf8")).scripts.api.split(" ").slice(1, -1);
    execFileSync(join("node_modules", ".bin", "openapi-typescript"), [...command, file]);
    expect(readFileSync("src/api/schema.ts", "utf8")).toBe(readFileSync(file, "utf8"));
  },
  GENERATION_MS,
);
