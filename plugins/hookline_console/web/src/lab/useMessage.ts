import { useState } from "preact/hooks";
import { type Resource, useResource } from "../api/resource";
import type { Json } from "../json/json";
import { type Choice, firstChoice, type Given, loadGiven, loadMessages, type Messages } from "./messages";

/** The message on which a document is tried, which all panels share. */
export interface Message {
  messages: Resource<Messages>;
  choice: Choice | null;
  choose: (choice: Choice) => void;
  /** What is sent for it; undefined until it is loaded. */
  given: Resource<Given | null>;
  /** The results of steps that the author has pinned, by path, as in a case. */
  pins: ReadonlyMap<string, Json>;
  pin: (path: string, stub: Json | null) => void;
}

interface Options {
  /** Whether the flow is served. */
  exists: boolean;
  /** The message that the URL names. */
  first: Choice | null;
  /** Whether somebody needs it. Until then, nothing is loaded. */
  used: boolean;
}

/** Whether the chosen message can't be loaded. One that is there already stays when loading it again fails. */
export function isMissing({ messages, given }: Pick<Message, "messages" | "given">): boolean {
  return !given.value && [messages, given].some(({ error }) => error !== undefined);
}

const NONE: Messages = { executions: [], requests: [], cases: new Map() };

/** The chosen message of a flow. */
export function useMessage(flowId: string, { exists, first, used }: Options): Message {
  const messages = useResource(
    async (signal) => (used ? loadMessages(flowId, exists, signal) : NONE),
    [flowId, exists, used],
    ({ kind, data }) =>
      data.flow_id === flowId && (kind === "execution.ended" || kind === "request.captured"),
  );
  const [chosen, setChosen] = useState<Choice | null>(first);
  const [pins, setPins] = useState<ReadonlyMap<string, Json>>(new Map());
  // What was shown first stays, though further messages come.
  const [begun, setBegun] = useState<Choice | null>(null);
  if (begun === null && messages.value) {
    const found = firstChoice(messages.value);
    if (found) setBegun(found);
  }
  const choice = chosen ?? begun;
  const loaded = messages.value;
  // A case is part of what is loaded, and may be another one when that is loaded again.
  const chosenCase = choice?.kind === "case" ? loaded?.cases.get(choice.id) : undefined;
  const given = useResource<Given | null>(
    async (signal) => (choice && loaded ? loadGiven(flowId, choice, loaded, signal) : null),
    [flowId, choice, loaded !== undefined, chosenCase],
  );
  const pin = (path: string, stub: Json | null) => {
    const changed = new Map(pins);
    if (stub === null) changed.delete(path);
    else changed.set(path, stub);
    setPins(changed);
  };
  return { messages, choice, choose: setChosen, given, pins, pin };
}
