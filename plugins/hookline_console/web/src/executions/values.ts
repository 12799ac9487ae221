/** The values of an execution: its message, and the inputs and outputs of its steps, with what is left out of large ones. */

import { api, type Schemas } from "../api/client";
import { children, type Json, member, NULL, parse, replaceAt } from "../json/json";
import type { Cut } from "../json/tree";

/** Where values are: a step and one of its attempts, or neither for the message. */
export interface Place {
  execution: string;
  step?: string | undefined;
  attempt?: number | undefined;
}

export interface Values {
  json: Json;
  cuts: readonly Cut[];
}

/** Load values, or what follows in one of them. They are read as text, because numbers may have many digits. */
export async function loadValues(place: Place, rest?: Cut, signal?: AbortSignal): Promise<Values> {
  const query = { ...placeOf(place), ...(rest ? { pointer: rest.pointer, offset: rest.shown } : {}) };
  const { data } = await api.GET("/api/v1/executions/{execution_id}/values", {
    params: { path: { execution_id: place.execution }, query },
    parseAs: "text",
    ...(signal ? { signal } : {}),
  });
  return readValues(data as string);
}

/** Load the whole value at a pointer, as text. */
export async function loadText(place: Place, pointer: string, signal: AbortSignal): Promise<string> {
  const { data } = await api.GET("/api/v1/executions/{execution_id}/values/download", {
    params: { path: { execution_id: place.execution }, query: { pointer, ...placeOf(place) } },
    parseAs: "text",
    signal,
  });
  return data as string;
}

/** The values in a response of the API. */
export function readValues(text: string): Values {
  const sent: readonly Schemas["Cut"][] = JSON.parse(text).cuts;
  return {
    json: member(parse(text), "value") ?? NULL,
    // What is before the part that was sent is here already.
    cuts: sent.map(({ pointer, size, offset, shown }) => ({ pointer, size, shown: offset + shown })),
  };
}

/** Values with what follows in one of them; the same values if it is there already. */
export function withRest(values: Values, cut: Cut, rest: Values): Values {
  if (!values.cuts.some((one) => one.pointer === cut.pointer && one.shown === cut.shown)) return values;
  const others = values.cuts.filter((one) => one.pointer !== cut.pointer);
  return {
    json: replaceAt(values.json, cut.pointer, (before) => joined(before, rest.json)),
    cuts: [...others, ...rest.cuts.filter((one) => one.shown < one.size)],
  };
}

/** Values to which more has been added since they were loaded. */
export interface Extended {
  loaded: Values;
  values: Values;
}

/** Add what follows in a value that was loaded. Others may have been added meanwhile. */
export function extended(before: Extended | null, loaded: Values, cut: Cut, rest: Values): Extended {
  const values = before?.loaded === loaded ? before.values : loaded;
  return { loaded, values: withRest(values, cut, rest) };
}

function joined(before: Json, rest: Json): Json {
  if (before.kind === "string" && rest.kind === "string") return { ...before, text: before.text + rest.text };
  if (before.kind === "array" && rest.kind === "array")
    return { ...before, items: [...before.items, ...rest.items] };
  if (before.kind === "object" && rest.kind === "object")
    return { ...before, entries: [...before.entries, ...rest.entries] };
  return before;
}

/** A part of some values, such as `output`, with the cuts inside it. */
export function partOf(values: Values, name: string): Values {
  const around = `/${name}`;
  return {
    json: member(values.json, name) ?? NULL,
    cuts: values.cuts
      .filter((cut) => cut.pointer === around || cut.pointer.startsWith(`${around}/`))
      .map((cut) => ({ ...cut, pointer: cut.pointer.slice(around.length) })),
  };
}

/** The address of the whole value at a pointer. */
export function downloadUrl(place: Place, pointer: string): string {
  const query = new URLSearchParams({ pointer });
  for (const [name, value] of Object.entries(placeOf(place))) query.set(name, String(value));
  return `/api/v1/executions/${encodeURIComponent(place.execution)}/values/download?${query}`;
}

function placeOf({ step, attempt }: Place) {
  return { ...(step === undefined ? {} : { step }), ...(attempt === undefined ? {} : { attempt }) };
}

/** Whether there is anything in a value to look at. */
export function isEmpty(json: Json): boolean {
  return (
    json.kind === "null" || ((json.kind === "object" || json.kind === "array") && children(json).length === 0)
  );
}
