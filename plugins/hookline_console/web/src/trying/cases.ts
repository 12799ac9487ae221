/** The cases of a flow: saving a run as one, and running all of them. */

import { api, body, type Schemas } from "../api/client";
import { withoutItems } from "../executions/definition";
import { fromValue, type Json, member, NULL, parse, print } from "../json/json";
import { stubOf, type TriedRun } from "./tried_run";

export type CasesRun = Schemas["TestView"];

/** Add a case to those of a flow. Throws `ApiError` if somebody else has changed them meanwhile. */
export async function saveCase(flowId: string, added: Json): Promise<void> {
  const path = { flow_id: flowId };
  const { data, response } = await api.GET("/api/v1/flows/{flow_id}/cases", {
    params: { path },
    parseAs: "text",
  });
  const cases = member(parse(data as string), "cases");
  const items = [...(cases?.kind === "array" ? cases.items : []), added];
  const etag = response.headers.get("ETag");
  await api.PUT("/api/v1/flows/{flow_id}/cases", {
    params: { path, header: etag === null ? { "If-None-Match": "*" } : { "If-Match": etag } },
    body: {},
    bodySerializer: () => `{"cases": ${print({ kind: "array", items })}}`,
    headers: { "Content-Type": "application/json" },
  });
}

/** The case of an execution that has ended; a message that is recorded nowhere else. */
export async function caseOfExecution(execution_id: string, name: string): Promise<Json | undefined> {
  const { data } = await api.GET("/api/v1/executions/{execution_id}/case", {
    params: { path: { execution_id }, query: { name } },
    parseAs: "text",
  });
  return member(parse(data as string), "case");
}

/** Run cases of a text that is being written. */
export async function runCases(text: string, cases: readonly Json[]): Promise<CasesRun> {
  const all = `{"cases": ${print({ kind: "array", items: cases }, "")}}`;
  return body(
    api.POST("/api/v1/test", {
      // Only for the types: the cases are sent as they are written.
      body: { text: "", cases: {} },
      bodySerializer: () => `{"text": ${JSON.stringify(text)}, "cases": ${all}}`,
      headers: { "Content-Type": "application/json" },
    }),
  );
}

/** The parts of a message that a case takes over. Of stubs, it takes those of steps that are stubbed. */
const TAKEN = ["now", "input", "vars", "state", "answers"];

/**
 * The case that a run makes: its message, the results of the stubbed steps, and what it expects.
 *
 * `from`: the message as a case. `exact`: it expects the last body as well, which may not be the same each time.
 */
export function caseOf(name: string, from: Json, tried: TriedRun, { exact }: { exact: boolean }): Json {
  const given = member(from, "stubs");
  const stubs = [...new Set(tried.view.stubbed)].flatMap((path) => {
    const own = member(given, path) ?? member(given, withoutItems(path));
    const step = tried.view.steps.find((one) => one.path === path);
    const stub = own ?? stubOf(tried.values.get(path)?.output ?? NULL, step?.error ?? null);
    return stub ? [[path, stub] as const] : [];
  });
  const { outcome, error } = tried.view;
  const expect: [string, Json][] = [["outcome", fromValue(outcome ?? "waiting")]];
  if (error) expect.push(["error", fromValue({ code: error.code, step: error.step })]);
  else if (exact) expect.push(["body", tried.body]);
  return {
    kind: "object",
    entries: [
      ["name", fromValue(name)],
      ...TAKEN.flatMap((part) => {
        const value = member(from, part);
        return value ? [[part, value] as const] : [];
      }),
      ...(stubs.length > 0 ? [["stubs", { kind: "object", entries: stubs } as Json] as const] : []),
      ["expect", { kind: "object", entries: expect }],
    ],
  };
}

/** A name that no case has: `completed`, then `completed 2`. */
export function freeName(stem: string, taken: ReadonlySet<string>): string {
  let name = stem;
  for (let number = 2; taken.has(name); number += 1) name = `${stem} ${number}`;
  return name;
}
