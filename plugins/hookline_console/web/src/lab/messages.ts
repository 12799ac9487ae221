/** The messages on which a document is tried: recorded ones of executions, captured requests, and cases. */

import { api, body, type Schemas } from "../api/client";
import {
  type CapturedInfo,
  type CapturedRequest,
  formFields,
  jsonBody,
  queryPairs,
} from "../inspector/captured";
import { fromValue, type Json, member, parse, print } from "../json/json";

export type MessageKind = "execution" | "request" | "case";

/** Which message is chosen. `id`: of a case, its name. */
export interface Choice {
  kind: MessageKind;
  id: string;
}

/** The parts of a case that a document is tried with. */
const PARTS = ["input", "stubs", "answers", "state", "vars", "now"] as const;
export type Part = (typeof PARTS)[number];

/** What is sent to the server for a message. The parts are JSON texts, so that numbers keep their digits. */
export interface Given {
  execution_id?: string;
  parts: Readonly<Partial<Record<Part, string>>>;
}

/** The messages that a flow has. */
export interface Messages {
  executions: readonly Schemas["SummaryView"][];
  requests: readonly CapturedInfo[];
  /** The cases, by name. */
  cases: ReadonlyMap<string, Json>;
}

const MOST = 20;
const ENDED = ["succeeded", "failed", "cancelled"];

/** Load the messages of a flow. `exists`: whether it is served, so that it may have executions and cases. */
export async function loadMessages(flowId: string, exists: boolean, signal: AbortSignal): Promise<Messages> {
  const [executions, requests, cases] = await Promise.all([
    exists ? loadExecutions(flowId, signal) : [],
    loadRequests(flowId, signal),
    exists ? loadCases(flowId, signal) : [],
  ]);
  return { executions, requests, cases: new Map(cases.map((one) => [nameOf(one), one])) };
}

async function loadExecutions(flow_id: string, signal: AbortSignal) {
  const query = { flow_id, limit: MOST };
  const { items } = await body(api.GET("/api/v1/executions", { params: { query }, signal }));
  return items.filter(({ state, started_at }) => ENDED.includes(state) && started_at !== null);
}

async function loadRequests(flow_id: string, signal: AbortSignal): Promise<CapturedInfo[]> {
  const { items } = await body(api.GET("/api/v1/captures", { signal }));
  if (!items.some((capture) => capture.flow_id === flow_id)) return [];
  const params = { path: { flow_id }, query: { limit: MOST } };
  return (await body(api.GET("/api/v1/captures/{flow_id}/requests", { params, signal }))).items;
}

/** The cases of a flow, as they are written. */
export async function loadCases(flow_id: string, signal?: AbortSignal): Promise<readonly Json[]> {
  const { data } = await api.GET("/api/v1/flows/{flow_id}/cases", {
    params: { path: { flow_id } },
    parseAs: "text",
    ...(signal && { signal }),
  });
  const cases = member(parse(data as string), "cases");
  return cases?.kind === "array" ? cases.items : [];
}

export function nameOf(one: Json): string {
  const name = member(one, "name");
  return name?.kind === "string" ? name.text : "";
}

/** The message with which a panel begins: the newest one that came, or else the first case. */
export function firstChoice({ executions, requests, cases }: Messages): Choice | null {
  const [execution] = executions;
  const [request] = requests;
  const [name] = cases.keys();
  if (execution) return { kind: "execution", id: execution.id };
  if (request) return { kind: "request", id: request.id };
  return name === undefined ? null : { kind: "case", id: name };
}

/** What is sent for a message. */
export async function loadGiven(
  flowId: string,
  choice: Choice,
  messages: Messages,
  signal: AbortSignal,
): Promise<Given> {
  if (choice.kind === "execution") return { execution_id: choice.id, parts: {} };
  if (choice.kind === "case") return givenByCase(messages.cases.get(choice.id));
  const path = { flow_id: flowId, request_id: choice.id };
  const request = await body(
    api.GET("/api/v1/captures/{flow_id}/requests/{request_id}", { params: { path }, signal }),
  );
  return { parts: { input: print(await inputOf(flowId, request), "") } };
}

export function givenByCase(one: Json | undefined): Given {
  const parts = PARTS.flatMap((name) => {
    const part = member(one, name);
    return part ? [[name, print(part, "")] as const] : [];
  });
  return { parts: Object.fromEntries(parts) };
}

/** A captured request as the input of a case. */
export async function inputOf(flowId: string, request: CapturedRequest & { path?: string }): Promise<Json> {
  const rest = request.path?.startsWith(`${flowId}/`) ? request.path.slice(flowId.length + 1) : "";
  const query = grouped(queryPairs(request.query));
  const headers = new Map(request.headers.map(([name = "", value = ""]) => [name.toLowerCase(), value]));
  return {
    kind: "object",
    entries: [
      ["body", await bodyOf(request)],
      ["headers", objectOf(headers)],
      ...(request.method === "POST" ? [] : [["method", fromValue(request.method)] as const]),
      ...(rest === "" ? [] : [["path", fromValue(rest)] as const]),
      ...(request.query === "" ? [] : [["query", query] as const]),
    ],
  };
}

async function bodyOf(request: CapturedRequest): Promise<Json> {
  if (request.method === "GET") return grouped(queryPairs(request.query));
  const json = jsonBody(request);
  if (json) return json;
  const fields = await formFields(request).catch(() => []);
  if (fields.length > 0) return grouped(fields);
  return fromValue(request.encoding === "text" ? request.body : null);
}

/** Pairs as an object. A name that is repeated has a list. */
function grouped(pairs: readonly (readonly [string, string])[]): Json {
  const found = new Map<string, string | string[]>();
  for (const [name, value] of pairs) {
    const before = found.get(name);
    found.set(name, before === undefined ? value : [before, value].flat());
  }
  return objectOf(found);
}

/** Not an object of the program, which has names of its own, such as `constructor` and `__proto__`. */
function objectOf(members: ReadonlyMap<string, unknown>): Json {
  return { kind: "object", entries: [...members].map(([name, value]) => [name, fromValue(value)]) };
}

/** A request's body: a text as it is written, a message, and further members. */
export function requestOf(text: string, given: Given, more: Readonly<Record<string, unknown>> = {}): string {
  const plain = { text, ...(given.execution_id && { execution_id: given.execution_id }), ...more };
  const members = Object.entries(plain).map(([name, value]) => [name, JSON.stringify(value)] as const);
  const all = [...members, ...Object.entries(given.parts)];
  return `{${all.map(([name, json]) => `${JSON.stringify(name)}: ${json}`).join(", ")}}`;
}

/** What is given, with stubs that take the place of others. */
export function withStubs(given: Given, pins: ReadonlyMap<string, Json>): Given {
  if (pins.size === 0) return given;
  const before = given.parts.stubs ? parse(given.parts.stubs) : undefined;
  const kept = before?.kind === "object" ? before.entries.filter(([path]) => !pins.has(path)) : [];
  return {
    ...given,
    parts: { ...given.parts, stubs: print({ kind: "object", entries: [...kept, ...pins] }, "") },
  };
}
