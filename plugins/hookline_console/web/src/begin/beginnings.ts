/** The documents with which a flow can begin, besides an empty one and one that is made from a request. */

import type { Schemas } from "../api/client";
import { exampleOf } from "../components/example";
import examples from "./examples.json";

type Component = Schemas["ComponentView"];

interface Example {
  title: string;
  about: string;
  flow: object;
}

/** The flows that are offered as examples. */
export const EXAMPLES: readonly Example[] = examples;

/** An example under the name of a new flow. */
export function flowFromExample(flowId: string, title: string): object {
  return { ...EXAMPLES.find((each) => each.title === title)?.flow, id: flowId };
}

/** The triggers among the components, those of a connector after those that belong to the language. */
export function triggersOf(components: readonly Component[]): Component[] {
  const triggers = components.filter(({ kind }) => kind === "trigger");
  return triggers.toSorted((one, other) => rank(one) - rank(other) || one.name.localeCompare(other.name));
}

function rank({ connector }: Component): number {
  return connector === null ? 0 : 1;
}

/** A flow with a trigger and its required settings, whose step shows what comes. */
export function flowFromTrigger(flowId: string, trigger: Component): object {
  const made = (exampleOf(trigger) as { trigger: { with?: object } }).trigger;
  const verified = trigger.settings.some(({ name, required }) => name === "verify" && required);
  // No scheme can be guessed, and the editor offers all of them.
  const settings = verified ? { ...made.with, verify: "none" } : made.with;
  return {
    id: flowId,
    title: "",
    trigger: { ...made, ...(settings && { with: settings }) },
    steps: [{ id: "note", use: "log", with: { message: "{{ body }}" } }],
  };
}
