/** A JSON text in lines, with the lines of each value by its JSON pointer. Numbers and texts stay as they were written. */

import { escapePointer } from "../document/pointer";

export interface Token {
  kind: "key" | "string" | "number" | "literal" | "mark";
  text: string;
}

export interface SourceLine {
  indent: number;
  tokens: readonly Token[];
  /** The pointer of the value that begins or ends on the line. */
  pointer: string;
}

export interface Source {
  lines: readonly SourceLine[];
  /** The first and the last line of each value, from 0. */
  ranges: ReadonlyMap<string, readonly [number, number]>;
}

type Node =
  | { kind: "scalar"; token: Token }
  | { kind: "object" | "array"; entries: readonly [Token | null, Node][] };

/** The length up to which a list or an object without others in it is written in one line. */
const LINE = 72;

/** The lines of a JSON text, or of a member of its object. Throws SyntaxError. */
export function sourceOf(json: string, member?: string): Source {
  const lines: { indent: number; tokens: Token[]; pointer: string }[] = [];
  const ranges = new Map<string, readonly [number, number]>();
  let current: { indent: number; tokens: Token[]; pointer: string };
  const open = (indent: number, pointer: string) => {
    current = { indent, tokens: [], pointer };
    lines.push(current);
  };
  const write = (node: Node, pointer: string, indent: number) => {
    const first = lines.length - 1;
    if (node.kind === "scalar") {
      current.tokens.push(node.token);
    } else {
      const [begin, end] = node.kind === "object" ? ["{", "}"] : ["[", "]"];
      const short = inline(node);
      if (short !== null) {
        current.tokens.push(...short);
      } else {
        current.tokens.push(mark(begin));
        node.entries.forEach(([key, value], index) => {
          const inner = `${pointer}/${key === null ? index : escapePointer(JSON.parse(key.text))}`;
          open(indent + 1, inner);
          if (key !== null) current.tokens.push({ ...key, text: visible(key.text) }, mark(": "));
          write(value, inner, indent + 1);
          if (index < node.entries.length - 1) current.tokens.push(mark(","));
        });
        open(indent, pointer);
        current.tokens.push(mark(end));
      }
    }
    ranges.set(pointer, [first, lines.length - 1]);
  };
  open(0, "");
  const whole = parse(json);
  write(member === undefined ? whole : memberOf(whole, member), "", 0);
  return { lines, ranges };
}

function memberOf(node: Node, name: string): Node {
  const entries = node.kind === "object" ? node.entries : [];
  const found = entries.find(([key]) => key !== null && JSON.parse(key.text) === name);
  if (found === undefined) throw new SyntaxError(`no member ${name}`);
  return found[1];
}

/** The lines of a value, or of the innermost value around it that has lines of its own. */
export function linesOf(source: Source, pointer: string): readonly [number, number] | undefined {
  for (let at = pointer; ; at = at.slice(0, at.lastIndexOf("/"))) {
    const found = source.ranges.get(at);
    if (found !== undefined || at === "") return found;
  }
}

/** The innermost of some places to which a line belongs. */
export function placeOf(pointer: string, places: { has: (pointer: string) => boolean }): string | null {
  for (let at = pointer; ; at = at.slice(0, at.lastIndexOf("/"))) {
    if (places.has(at)) return at;
    if (at === "") return null;
  }
}

/** A list or an object in one line; null if it is too long, or if there are others in it. */
function inline(node: Node): Token[] | null {
  if (node.kind === "scalar") return null;
  const [begin, end] = node.kind === "object" ? ["{", "}"] : ["[", "]"];
  if (node.entries.length === 0) return [mark(begin + end)];
  const tokens: Token[] = [mark(node.kind === "object" ? "{ " : "[")];
  let length = 4;
  for (const [index, [key, value]] of node.entries.entries()) {
    if (value.kind !== "scalar") return null;
    if (index > 0) tokens.push(mark(", "));
    if (key !== null) tokens.push({ ...key, text: visible(key.text) }, mark(": "));
    tokens.push(value.token);
    length += value.token.text.length + (key?.text.length ?? 0) + 2;
    if (length > LINE) return null;
  }
  return [...tokens, mark(node.kind === "object" ? " }" : "]")];
}

const TOKEN = /[\s]*(?:([{}[\],:])|("(?:[^"\\]|\\.)*")|(-?\d[\d.eE+-]*)|(true|false|null))/y;

function parse(json: string): Node {
  let place = 0;
  const next = (): RegExpExecArray => {
    TOKEN.lastIndex = place;
    const found = TOKEN.exec(json);
    if (found === null) throw new SyntaxError(`no JSON at character ${place}`);
    place = TOKEN.lastIndex;
    return found;
  };
  const peek = (): string | undefined => {
    const before = place;
    const found = next()[1];
    place = before;
    return found;
  };
  const value = (): Node => {
    const [, punctuation, string, number, literal] = next();
    if (string !== undefined) return scalar("string", visible(string));
    if (number !== undefined) return scalar("number", number);
    if (literal !== undefined) return scalar("literal", literal);
    if (punctuation !== "{" && punctuation !== "[")
      throw new SyntaxError(`no value before character ${place}`);
    const isObject = punctuation === "{";
    const end = isObject ? "}" : "]";
    const entries: [Token | null, Node][] = [];
    while (peek() !== end) {
      if (entries.length > 0) expect(",");
      const key = isObject ? next()[2] : undefined;
      if (isObject) {
        if (key === undefined) throw new SyntaxError(`no key before character ${place}`);
        expect(":");
      }
      entries.push([key === undefined ? null : { kind: "key", text: key }, value()]);
    }
    next();
    return { kind: isObject ? "object" : "array", entries };
  };
  const expect = (mark: string) => {
    if (next()[1] !== mark) throw new SyntaxError(`no ${mark} before character ${place}`);
  };
  const found = value();
  if (json.slice(place).trim() !== "") throw new SyntaxError(`more than one value at character ${place}`);
  return found;
}

/** A text of JSON in which characters that can't be seen, or that change the direction of a text, are escaped. */
function visible(text: string): string {
  return text.replace(/\p{Cc}|\p{Cf}|\p{Cs}|[\u2028\u2029]/gu, (found) =>
    [...Array(found.length).keys()]
      .map((index) => `\\u${found.charCodeAt(index).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

function scalar(kind: Token["kind"], text: string): Node {
  return { kind: "scalar", token: { kind, text } };
}

function mark(text: string): Token {
  return { kind: "mark", text };
}
