/** The licenses of the packages whose code is in the bundle. `npm run licenses` writes ../THIRD-PARTY-NOTICES.txt. */

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import license from "rollup-plugin-license";
import { build } from "vite";

export const FILE = fileURLToPath(new URL("../THIRD-PARTY-NOTICES.txt", import.meta.url));

/** Each is compatible with ours, and named in the expression of pyproject.toml. */
export const ALLOWED = ["MIT"];

/** Packages without a file of their license, and one of the same holder under the same license. */
const SAME_LICENSE = { "@vscode/l10n": "vscode-json-languageservice" };

const HEAD = `The console of Hookline contains code of the following packages.\n`;
const LINE = `\n${"-".repeat(100)}\n\n`;

/** Build the bundle: its files, and the text of the notices. Throws an error if a license isn't allowed. */
export async function bundle() {
  const found = new Map();
  const built = await build({
    root: fileURLToPath(new URL(".", import.meta.url)),
    logLevel: "error",
    build: { write: false },
    plugins: [
      license({
        thirdParty: {
          multipleVersions: true,
          output: (packages) => {
            for (const each of packages) found.set(each.name, each);
          },
        },
      }),
    ],
  });
  for (const name of ["vite", "rolldown"]) found.set(name, await ofBuildTool(name));
  for (const [name, other] of Object.entries(SAME_LICENSE)) {
    const without = found.get(name);
    if (without) without.licenseText ??= found.get(other).licenseText;
  }
  const forbidden = [...found.values()].filter((each) => !ALLOWED.includes(each.license));
  if (forbidden.length > 0) {
    throw new Error(forbidden.map((each) => `${each.name} has the license ${each.license}`).join("\n"));
  }
  const parts = [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1)).map(describe);
  return { files: built.output, notices: HEAD + parts.map((part) => LINE + part).join("") };
}

/** A tool that adds code of its own to each bundle, such as the loader of chunks. */
async function ofBuildTool(name) {
  const folder = new URL(`node_modules/${name}/`, import.meta.url);
  const { version, license } = JSON.parse(await readFile(new URL("package.json", folder), "utf8"));
  const file = name === "vite" ? "LICENSE.md" : "LICENSE";
  const text = await readFile(new URL(file, folder), "utf8");
  // Vite's file goes on with the licenses of what runs in the tool, and isn't in a bundle.
  return { name, version, license, licenseText: text.split("# Licenses of bundled dependencies")[0] };
}

function describe({ name, version, license, licenseText }) {
  return `${name} ${version} (${license})\n\n${licenseText.trim()}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeFile(FILE, (await bundle()).notices);
