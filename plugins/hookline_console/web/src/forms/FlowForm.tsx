import "./forms.css";
import { Fragment, type TargetedKeyboardEvent } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { useResource } from "../api/resource";
import { actOf } from "../blocks/keys";
import type { Editing, Snapshot } from "../code/editing";
import type { Place } from "../document/edits";
import { blockAround, stepAt } from "../document/flow_document";
import type { StepPlace } from "../document/steps";
import { at, memberOf, textOf } from "../document/tree";
import { texts } from "../texts";
import { FormContext, type FormHost, problemsAt } from "./FormContext";
import type { Schema } from "./schema";
import { ObjectFields } from "./ValueField";
import { write } from "./writing";

const words = texts.forms;

interface FlowFormProps {
  editing: Editing;
  snapshot: Snapshot;
  /** The schema of flows. */
  schema: Schema;
  onAdd: (place: Place) => void;
  /** Open the menu of the step at a place in the window. */
  onMenu: (at: { x: number; y: number }) => void;
}

/** The form of the step in which the cursor is, or of the flow itself. Each change of it is a change of the text. */
export function FlowForm({ editing, snapshot, schema, onAdd, onMenu }: FlowFormProps) {
  const { names } = editing;
  const focus = useRef<string | null>(null);
  // A field that isn't there now must not take the focus when it comes back, such as by undoing. This is done at once,
  // since what is done after drawing may come after the next click.
  useLayoutEffect(() => {
    focus.current = null;
  });
  const { document, selected } = snapshot;
  const step = selected === null ? undefined : stepAt(document, selected);
  const use = textOf(memberOf(step?.step ?? memberOf(document.tree, "trigger"), "use")) ?? "";
  const offered = useResource(() => names.offered(use), [use]);
  const definitions = schema.$defs ?? {};
  const host: FormHost = {
    ...{ editing, snapshot, schema, definitions, step, names, focus, onAdd },
    offered: offered.value ?? NONE,
    write: (pointer, value, { typing = false, excludes = [] } = {}) => {
      const { orders } = editing;
      return editing.apply(write(editing.document, pointer, value, { orders, schema, excludes }), { typing });
    },
  };
  const press = (event: TargetedKeyboardEvent<HTMLElement>) => {
    const act = actOf(event);
    if (act !== "undo" && act !== "redo" && !(act === "menu" && event.altKey)) return;
    // What isn't in the document yet is undone by the browser.
    if ((act === "undo" || act === "redo") && (event.target as Element).closest("[data-own]")) return;
    // The browser would only undo what was typed into this control.
    event.preventDefault();
    if (act === "undo") return editing.undo();
    if (act === "redo") return editing.redo();
    const { left, bottom } = (event.target as Element).getBoundingClientRect();
    onMenu({ x: left, y: bottom });
  };
  const pointer = step?.pointer ?? "";
  return (
    <FormContext.Provider value={host}>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the keys are those of the controls in it */}
      <div class="flow-form" onKeyDown={press}>
        <Path host={host} step={step} />
        {document.broken && <p class="edit-note">{words.broken}</p>}
        {problemsAt(host, pointer, { inside: false }).map((problem) => (
          <p key={`${problem.code} ${problem.message}`} class="field-problem foreign">
            {problem.message} {problem.remedy}
          </p>
        ))}
        <fieldset
          class="form-body"
          key={pointer}
          disabled={document.broken || editing.view.state.readOnly}
          aria-label={step ? words.ofStep(step.id) : words.ofFlow}
        >
          <ObjectFields
            schema={step ? (definitions.Step ?? {}) : schema}
            value={at(document.tree, pointer)}
            pointer={pointer}
          />
        </fieldset>
      </div>
    </FormContext.Provider>
  );
}

const NONE: ReadonlySet<string> = new Set();

/** The way from the flow to the step, whose parts lead to their forms. */
function Path({ host, step }: { host: FormHost; step: StepPlace | undefined }) {
  const { document } = host.snapshot;
  const around: StepPlace[] = [];
  for (let block = step ?? null; block; block = blockAround(document, block.list)) around.unshift(block);
  const parts = [
    { pointer: "", label: words.flow },
    ...around.map(({ pointer, id }) => ({ pointer, label: id })),
  ];
  return (
    <nav class="form-path" aria-label={words.path}>
      {parts.map(({ pointer, label }, index) => (
        <Fragment key={pointer}>
          {index > 0 && <span aria-hidden="true">/</span>}
          <button
            type="button"
            class="form-part foreign"
            aria-current={index === parts.length - 1 ? "true" : undefined}
            onClick={() => host.editing.reveal(pointer)}
          >
            {label}
          </button>
        </Fragment>
      ))}
    </nav>
  );
}
