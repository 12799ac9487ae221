/** Paths to values as the languages of expressions write them, and how a path gets into an expression. */

import type { Language } from "../document/languages";
import type { Key } from "../json/json";

/** A language of expressions; `text` is a plain text, which can have Jinja in it. */
export type TextLanguage = Language | "text";

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** In JSONata, these are operators. */
const OPERATORS = new Set(["and", "or", "in", "true", "false", "null"]);

/** The path of a value in the code of a language. The first key is a name such as `body`. */
export function pathIn(language: TextLanguage, keys: readonly Key[]): string {
  switch (language) {
    case "jsonpath":
      return `$${keys.map((key) => (isName(key) ? `.${key}` : `[${quoted(key, "'")}]`)).join("")}`;
    case "jsonata":
      return joined(keys, (key) => (isName(key) && !OPERATORS.has(key) ? key : `\`${key}\``));
    case "jmespath":
      return joined(keys, (key) => (isName(key) ? key : quoted(key, '"')));
    default:
      return keys
        .map((key, index) => {
          if (index === 0) return String(key);
          return isName(key) ? `.${key}` : `[${quoted(key, "'")}]`;
        })
        .join("");
  }
}

function joined(keys: readonly Key[], write: (key: string) => string): string {
  return keys
    .map((key, index) => {
      if (typeof key === "number") return `[${key}]`;
      return `${index === 0 ? "" : "."}${write(key)}`;
    })
    .join("");
}

function isName(key: Key): key is string {
  return typeof key === "string" && NAME.test(key);
}

function quoted(key: Key, mark: string): string {
  if (typeof key === "number") return String(key);
  const escaped = JSON.stringify(key).slice(1, -1);
  return mark === '"' ? `"${escaped}"` : `'${escaped.replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}

/** An expression that only is a path: it is replaced as a whole, since two paths side by side mean nothing. */
const ONLY_PATH: Readonly<Record<TextLanguage, RegExp>> = {
  jsonpath: /^\$(\.[\w-]+|\[(\d+|'[^']*'|"[^"]*")\])*\.?$/,
  jsonata: /^(`[^`]*`|[\w$]+)((\.|\[\d+\])(`[^`]*`|[\w$]+)?)*$/,
  jmespath: /^("[^"]*"|\w+)((\.|\[\d+\])("[^"]*"|\w+)?)*$/,
  jinja: /^\s*[A-Za-z_]\w*(\.\w*|\[(\d+|'[^']*'|"[^"]*")\])*\s*$/,
  text: /^$/,
};

/**
 * The text of an expression once a path was put into it.
 *
 * `caret`: where it goes; null if no place was chosen. A text becomes a JSONPath if there is nothing else in it, and
 * gets the path as Jinja otherwise.
 */
export function withPath(
  text: string,
  language: TextLanguage,
  keys: readonly Key[],
  caret: number | null,
): string {
  if (language === "text" && text.trim() === "") return pathIn("jsonpath", keys);
  if (language === "jinja" || language === "text") return withJinja(text, keys, caret);
  const path = pathIn(language, keys);
  if (text.trim() === "" || ONLY_PATH[language].test(text.trim())) return path;
  return spliced(text, caret ?? text.length, path);
}

function withJinja(text: string, keys: readonly Key[], caret: number | null): string {
  const path = pathIn("jinja", keys);
  const codes = [...text.matchAll(/\{\{-?([\s\S]*?)-?(\}\}|$)/g)];
  const at = caret ?? (codes.length === 1 ? (codes[0]?.index ?? 0) + 2 : text.length);
  const around = codes.find((code) => code.index + 2 <= at && at <= code.index + code[0].length);
  if (!around) return spliced(text, at, `{{ ${path} }}`);
  const [whole, code = "", end] = around;
  if (code.trim() !== "" && !ONLY_PATH.jinja.test(code)) {
    const inside = caret === null ? around.index + whole.length - (end?.length ?? 0) : at;
    return spliced(text, inside, path);
  }
  const made = `{{ ${path} }}`;
  return text.slice(0, around.index) + made + text.slice(around.index + whole.length);
}

function spliced(text: string, at: number, part: string): string {
  return text.slice(0, at) + part + text.slice(at);
}
