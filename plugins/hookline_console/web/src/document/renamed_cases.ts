/** The cases of a flow after steps have got other ids. Nothing else of their text changes. */

import { at, memberOf, parse, type Tree, textOf } from "./tree";

/** From old ids to new ones. */
type Renames = ReadonlyMap<string, string>;

/** The path of a step in a text, between its quotes. */
interface Place {
  from: number;
  path: string;
}

/** The text of a file of cases with other ids of steps; null if it names none of them. */
export function renamedCases(text: string, renames: Renames): string | null {
  const cases = memberOf(parse(text).tree, "cases");
  const places = cases?.kind === "list" ? cases.items.flatMap(placesIn) : [];
  let made = "";
  let done = 0;
  for (const { from, path } of places.sort((a, b) => a.from - b.from)) {
    const written = JSON.stringify(path);
    // Paths have letters, digits and a few signs; one that is written with escapes isn't looked at.
    if (text.slice(from, from + written.length) !== written) continue;
    made += text.slice(done, from) + JSON.stringify(renamedPath(path, renames));
    done = from + written.length;
  }
  made += text.slice(done);
  return made === text ? null : made;
}

/** The places in a case that name steps by their paths. */
function placesIn(each: Tree): Place[] {
  const stubs = memberOf(each, "stubs");
  const texts = [
    at(each, "/expect/error/step"),
    ...itemsOf(at(each, "/expect/path")),
    ...itemsOf(at(each, "/expect/calls")).map((call) => memberOf(call, "step")),
    ...(stubs?.kind === "object" ? stubs.members.map(({ value }) => at(value, "/error/step")) : []),
  ];
  return [
    ...["/stubs", "/answers", "/expect/steps"].flatMap((pointer) => keysOf(at(each, pointer))),
    ...texts.flatMap((found) => {
      const path = textOf(found);
      return found && path !== undefined ? [{ from: found.from, path }] : [];
    }),
  ];
}

function itemsOf(tree: Tree | undefined): readonly Tree[] {
  return tree?.kind === "list" ? tree.items : [];
}

function keysOf(tree: Tree | undefined): Place[] {
  return tree?.kind === "object" ? tree.members.map(({ name, from }) => ({ from, path: name })) : [];
}

/** A path of a step, such as `lines[1]/post`. */
function renamedPath(path: string, renames: Renames): string {
  return path
    .split("/")
    .map((part) => {
      const [id = ""] = /^[^[]*/.exec(part) ?? [];
      return (renames.get(id) ?? id) + part.slice(id.length);
    })
    .join("/");
}
