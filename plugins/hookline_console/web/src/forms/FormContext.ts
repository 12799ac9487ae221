import { createContext, type RefObject } from "preact";
import { useContext } from "preact/hooks";
import type { Schemas } from "../api/client";
import type { Editing, Snapshot } from "../code/editing";
import type { ServerNames } from "../code/names";
import type { Place } from "../document/edits";
import type { StepPlace } from "../document/steps";
import type { Tree } from "../document/tree";
import type { Definitions, Schema } from "./schema";

/** What the fields of a form need of the editor around it. */
export interface FormHost {
  editing: Editing;
  snapshot: Snapshot;
  /** The schema of flows. */
  schema: Schema;
  definitions: Definitions;
  /** The step whose form it is; undefined for that of the flow. */
  step: StepPlace | undefined;
  names: ServerNames;
  /** The settings of the step's action whose options its service knows. */
  offered: ReadonlySet<string>;
  /** The pointer of the field that gets the focus once it is drawn. */
  focus: RefObject<string | null>;
  /** Choose a step to add at a place. */
  onAdd: (place: Place) => void;
  /** Write a value, or remove it. `typing`: it continues the change before it, as one step of undoing. */
  write: (pointer: string, value: Tree | undefined, options?: WriteOptions) => boolean;
}

export interface WriteOptions {
  typing?: boolean;
  excludes?: readonly string[];
}

export const FormContext = createContext<FormHost | null>(null);

export function useForm(): FormHost {
  const host = useContext(FormContext);
  if (host === null) throw new Error("there is no form here");
  return host;
}

/** The problems of a value. `inside`: also of what is in it. */
export function problemsAt(
  { snapshot }: FormHost,
  pointer: string,
  { inside }: { inside: boolean },
): readonly Schemas["Problem"][] {
  return (snapshot.checked?.problems ?? []).filter(
    (problem) => problem.pointer === pointer || (inside && problem.pointer?.startsWith(`${pointer}/`)),
  );
}
