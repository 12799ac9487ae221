/** The body with which an execution is started again. */

import type { Schemas } from "../api/client";
import { ApiError } from "../api/problem";
import type { Resource } from "../api/resource";
import { parse, print } from "../json/json";
import { texts } from "../texts";
import { type Definition, givesMessage, originOf } from "./definition";
import { loadText } from "./values";

const words = texts.executions.dialogs.replay;

/** Characters of a body that are offered for editing; larger ones are edited with the command line. */
const EDITABLE = 500_000;

/** Load the body that reached a step, as text; null if it isn't recorded. Throws `ApiError`. */
export async function recordedBody(
  execution: Schemas["ExecutionView"],
  step: string,
  definitions: ReadonlyMap<string, Definition> | undefined,
  signal: AbortSignal,
): Promise<string | null> {
  const origin =
    step === "" || definitions === undefined
      ? "message"
      : originOf(definitions, step, givesMessage(execution.steps));
  if (origin === "item") return null;
  const { id } = execution;
  const text =
    origin === "message"
      ? await loadText({ execution: id }, "/body", signal)
      : await loadText({ execution: id, step: origin.step }, "/output/body", signal);
  if (text.length > EDITABLE) {
    throw new ApiError(413, { title: words.noBody, detail: words.tooLarge, code: "console.too_large" });
  }
  return print(parse(text));
}

/** The text to send: what was written, or else what was recorded. Null while there is neither, so that none is sent. */
export function textToSend(
  written: string | null,
  recorded: Pick<Resource<string | null | undefined>, "value" | "error">,
): string | null {
  if (written !== null) return written;
  if (recorded.error !== undefined || recorded.value === undefined) return null;
  return recorded.value ?? "null";
}
