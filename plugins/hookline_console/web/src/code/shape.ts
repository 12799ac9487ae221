/** The types of values, as the checker writes them: `{id: text, lines: list of {sku: text}, …}`. */

export interface Shape {
  /** Its text. */
  text: string;
  /** The members of an object, with the types of their values. */
  members: ReadonlyMap<string, Shape>;
  /** The type of the items of a list. */
  item?: Shape;
}

const NO_MEMBERS: ReadonlyMap<string, Shape> = new Map();

/** Read the text of a type. What can't be read has no members. */
export function parseShape(text: string): Shape {
  const options = splitOutside(text, " | ");
  if (options.length > 1) {
    const all = options.map(parseShape);
    const item = all.find((each) => each.item)?.item;
    return { text, members: new Map(all.flatMap(({ members }) => [...members])), ...(item && { item }) };
  }
  const list = /^(?:any, such as )?(?:list|stream) of (.*)$/s.exec(text);
  if (list?.[1] !== undefined) {
    return { text, members: NO_MEMBERS, item: parseShape(list[1].replace(/^\((.*)\)$/s, "$1")) };
  }
  const record = /^[^{]*\{(.*)\}$/s.exec(text);
  if (record?.[1] === undefined) return { text, members: NO_MEMBERS };
  const members = new Map<string, Shape>();
  for (const part of splitOutside(record[1], ", ")) {
    const [, name, type] = /^(.*?)\??: (.*)$/s.exec(part) ?? [];
    if (name !== undefined && type !== undefined) members.set(name, parseShape(type));
  }
  return { text, members };
}

/** The parts of a text between marks that aren't in braces or parentheses. */
function splitOutside(text: string, mark: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at] ?? "";
    if ("{(".includes(character)) depth += 1;
    else if ("})".includes(character)) depth -= 1;
    else if (depth === 0 && text.startsWith(mark, at)) {
      parts.push(text.slice(from, at));
      from = at + mark.length;
    }
  }
  return [...parts, text.slice(from)];
}
