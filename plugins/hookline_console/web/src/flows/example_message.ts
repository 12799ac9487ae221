import { member, parse, print } from "../json/json";

/** The body of the first test case that has one, from the JSON of a flow's cases; undefined if there is none. */
export function exampleBody(cases: string): string | undefined {
  const all = member(parse(cases), "cases");
  for (const one of all?.kind === "array" ? all.items : []) {
    const body = member(member(one, "input"), "body");
    // A text is a body that isn't JSON.
    if (body !== undefined) return body.kind === "string" ? body.text : print(body);
  }
  return undefined;
}
