/** A flow that is made from a captured request: its trigger takes such requests, and its step has their fields. */

import { type CapturedRequest, formFields, jsonBody, queryPairs } from "../inspector/captured";
import { type Json, path } from "../json/json";

export type FlowSource = Pick<CapturedRequest, "method" | "content_type" | "query" | "body" | "encoding">;

type Settings = Readonly<Record<string, unknown>>;

/** The trigger's settings for a request, and the fields of its message; null if these aren't known. */
interface Taken {
  settings: Settings;
  fields: readonly string[] | null;
}

const METHODS = ["GET", "POST", "PUT", "PATCH"];
const MEDIA_TYPE = /^[^/\s;,]+\/[^/\s;,]+$/;
const JSON_TYPE = /^(application|text)\/(.+\+)?json$/;
const FORM_TYPES = ["application/x-www-form-urlencoded", "multipart/form-data"];
const PLAIN_KEY = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** An object with one of these keys would be an expression of that language. */
const LANGUAGES = ["literal", "jinja", "jmespath", "jsonata", "jsonpath"];
/** A step with more fields than this is no help. */
const MOST_FIELDS = 50;

/** True if a flow can accept requests with this method. */
export function isAcceptable({ method }: Pick<FlowSource, "method">): boolean {
  return METHODS.includes(method);
}

/** The document of a flow that accepts a request like this one. */
export async function flowFromRequest(flowId: string, request: FlowSource): Promise<object> {
  const { settings, fields } = await taken(request);
  const methods = request.method === "POST" ? {} : { methods: [request.method] };
  return {
    id: flowId,
    title: "",
    trigger: { use: "webhook", with: { verify: "none", ...methods, ...settings } },
    steps: [{ id: "fields", use: "map", with: { body: bodyOf(fields) } }],
  };
}

async function taken(request: FlowSource): Promise<Taken> {
  if (request.method === "GET") return ofForm(queryPairs(request.query));
  const type = request.content_type?.split(";")[0]?.trim().toLowerCase() ?? "";
  const types = MEDIA_TYPE.test(type) ? { media_types: [type] } : {};
  const json = jsonBody(request);
  if (JSON_TYPE.test(type)) return { settings: types, fields: keysOf(json) };
  // Such as that of `curl --data`, which calls everything a form.
  if (json?.kind === "object" || json?.kind === "array")
    return { settings: { ...types, body: "json" }, fields: keysOf(json) };
  if (!FORM_TYPES.includes(type)) return { settings: types, fields: null };
  const { settings, fields } = ofForm(await formFields(request).catch(() => []));
  return { settings: { ...types, ...settings }, fields };
}

/** Names such as `order[lines][]` stand for lists and objects, and a field may hold JSON. */
function ofForm(pairs: readonly (readonly [string, string])[]): Taken {
  const nested = pairs.some(([name]) => /^[^[]+\[.*\]$/.test(name));
  const names = pairs.map(([name]) => (nested ? (name.split("[")[0] ?? name) : name));
  const holdJson = pairs.filter(([name, text]) => !name.includes("[") && holdsObject(text));
  return {
    settings: {
      ...(nested && { nested }),
      ...(holdJson.length > 0 && { json_fields: [...new Set(holdJson.map(([name]) => name))] }),
    },
    fields: [...new Set(names)],
  };
}

function holdsObject(text: string): boolean {
  return jsonBody({ body: text, encoding: "text" })?.kind === "object";
}

function keysOf(json: Json | undefined): string[] | null {
  return json?.kind === "object" ? json.entries.map(([key]) => key) : null;
}

/** The body of the step: the fields by their names, or the message's body as it is. */
function bodyOf(fields: readonly string[] | null): unknown {
  const unfit =
    fields === null ||
    fields.length === 0 ||
    fields.length > MOST_FIELDS ||
    fields.some((field) => LANGUAGES.includes(field));
  return unfit ? "$.body" : Object.fromEntries(fields.map((field) => [field, expressionOf(field)]));
}

/** The JSONPath of a field. */
function expressionOf(field: string): string {
  if (PLAIN_KEY.test(field)) return path("$.body", [field]);
  const escaped = JSON.stringify(field).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'");
  return `$.body['${escaped}']`;
}
