import "./step_details.css";
import { useState } from "preact/hooks";
import type { Schemas } from "../api/client";
import { differences } from "../json/difference";
import { at, type Json, type Key, member, path, pointer as pointerOf, print } from "../json/json";
import { Text } from "../json/Text";
import { Tree } from "../json/Tree";
import { texts } from "../texts";
import { StateBadge } from "../ui/Badge";
import { Empty, Loaded } from "../ui/Notices";
import { Facts, Section } from "../ui/Page";
import { Tabs } from "../ui/Tabs";
import { Duration, Time } from "../ui/Time";
import { type Definition, givesMessage, originOf, settingsOf, withoutItems } from "./definition";
import { useValues, ValuesTree } from "./ValuesTree";
import { type Place, partOf, type Values } from "./values";

type Execution = Schemas["ExecutionView"];
type Step = Schemas["LatestView"];

interface StepDetailsProps {
  execution: Execution;
  step: Step;
  definitions: ReadonlyMap<string, Definition> | undefined;
}

/** A step of an execution: its attempts, its error, its values, and how it is defined. */
export function StepDetails({ execution, step, definitions }: StepDetailsProps) {
  const words = texts.executions.step;
  const [tab, setTab] = useState(step.error ? "input" : "output");
  const [attempt, setAttempt] = useState(step.attempt);
  const attempts = [...step.earlier, step];
  const shown = attempts.find((one) => one.attempt === attempt) ?? step;
  const latest = shown === step || shown.attempt === step.attempt;
  const place: Place = { execution: execution.id, step: step.path, ...(latest ? {} : { attempt }) };
  const turn = `${step.state} ${step.finished_at}`;
  const definition = definitions?.get(withoutItems(step.path));
  const root = step.path.includes("/") ? step.path : `steps.${step.id}`;
  const fieldOf = (keys: readonly Key[]) =>
    latest && step.state === "succeeded" && keys.length > 0 ? path(root, keys) : undefined;
  const expressionOf = (keys: readonly Key[]) => expressionAt(definition?.json, keys);
  return (
    <Section
      title={step.id}
      beside={
        <>
          <StateBadge state={step.state} />
          <span class="muted">{step.use}</span>
        </>
      }
    >
      <Facts
        facts={[
          [words.path, <code key="path">{step.path}</code>],
          [words.started, <Time key="started" at={shown.started_at} />],
          [
            words.took,
            <Duration
              key="took"
              from={shown.started_at}
              until={waits(shown) ? execution.finished_at : shown.finished_at}
            />,
          ],
          ...(shown.due_at
            ? ([
                [shown.error ? words.nextAttempt : words.waitsUntil, <Time key="due" at={shown.due_at} />],
              ] as const)
            : []),
          ...(step.signal ? ([[words.signal, words.signals[step.signal] ?? step.signal]] as const) : []),
        ]}
      />
      {attempts.length > 1 && (
        <fieldset class="step-attempts">
          <legend class="sr-only">{words.attempts}</legend>
          {attempts.map((one) => (
            <button
              key={`${one.attempt} ${one.started_at}`}
              type="button"
              class="step-attempt"
              aria-pressed={one === shown}
              onClick={() => setAttempt(one.attempt)}
            >
              <span class={`fall-dot fall-dot-${one.error ? "bad" : "ok"}`} aria-hidden="true" />
              {words.attempt(one.attempt)}
              {one.error && <span class="muted foreign">{one.error.code}</span>}
            </button>
          ))}
        </fieldset>
      )}
      {shown.error && !(latest && isErrorOf(execution, step)) && <ErrorBox error={shown.error} />}
      <Tabs
        label={words.values}
        tabs={[
          { key: "output", title: words.tabs.output },
          { key: "input", title: words.tabs.input },
          { key: "changes", title: words.tabs.changes },
          { key: "mapping", title: words.tabs.mapping },
        ]}
        selected={tab}
        onSelect={setTab}
      >
        {tab === "output" && (
          <ValuesTree
            key={`${step.path} ${attempt} output`}
            label={words.tabs.output}
            place={place}
            turn={turn}
            part="output"
            root={root}
            fieldOf={fieldOf}
            empty={
              shown.error
                ? words.noOutputFailed
                : step.signal === "pass"
                  ? words.noOutputPass
                  : words.noOutput
            }
          />
        )}
        {tab === "input" && (
          <ValuesTree
            key={`${step.path} ${attempt} input`}
            label={words.tabs.input}
            place={place}
            turn={turn}
            part="input"
            root={null}
            expressionOf={expressionOf}
            empty={words.noInput}
          />
        )}
        {tab === "changes" && (
          <Changes
            key={step.path}
            execution={execution}
            place={place}
            turn={turn}
            step={step}
            definitions={definitions}
          />
        )}
        {tab === "mapping" &&
          (definition ? (
            <Tree
              key={step.path}
              label={words.tabs.mapping}
              json={settingsOf(definition.json)}
              pathOf={(keys) => path("$", keys)}
            />
          ) : (
            <Empty title={words.noMapping} />
          ))}
      </Tabs>
    </Section>
  );
}

/** Whether the execution failed at a step, and so shows its error already. */
function isErrorOf(execution: Execution, step: Step): boolean {
  return execution.error?.step === step.path && execution.error.message === step.error?.message;
}

function waits(one: { state: string; error: object | null }): boolean {
  return one.state === "waiting" && one.error === null;
}

/** The expression of a step that gives a value of its input; undefined if the flow has none there. */
function expressionAt(definition: Json | undefined, keys: readonly Key[]): string | undefined {
  const settings = member(definition, "with");
  if (settings === undefined) return undefined;
  // An expression may give a whole object, in which the value is.
  for (let length = keys.length; length > 0; length -= 1) {
    const found = at(settings, keys.slice(0, length).reduce<string>(pointerOf, ""))?.value;
    if (found?.kind === "string" && /^\$|\{\{|\{%/.test(found.text)) return found.text;
    if (found !== undefined) return undefined;
  }
  return undefined;
}

/** What failed, with its code. */
export function ErrorBox({ error }: { error: Schemas["ErrorView"] }) {
  return (
    <div class="step-error">
      <code>{error.code}</code>
      <p>
        <Text lines>{error.message}</Text>
      </p>
      {error.retryable && <p class="muted">{texts.executions.step.retryable}</p>}
    </div>
  );
}

interface ChangesProps {
  execution: Execution;
  place: Place;
  turn: unknown;
  step: Step;
  definitions: ReadonlyMap<string, Definition> | undefined;
}

/** The difference between the body that a step got and the one that it gave. */
function Changes({ execution, place, turn, step, definitions }: ChangesProps) {
  const words = texts.executions.changes;
  const origin = definitions ? originOf(definitions, step.path, givesMessage(execution.steps)) : "item";
  const own = useValues(place, turn);
  const from: Place =
    typeof origin === "object"
      ? { execution: place.execution, step: origin.step }
      : { execution: place.execution };
  const before = useValues(from, "");
  if (origin === "item") return <Empty title={words.unknown} />;
  const name = typeof origin === "object" ? origin.step : words.message;
  return (
    <Loaded resource={own.resource} lines={5}>
      {(values) => (
        <Loaded resource={before.resource} lines={5}>
          {(earlier) => <ChangeList name={name} before={bodyOf(earlier)} after={bodyOf(values)} />}
        </Loaded>
      )}
    </Loaded>
  );
}

function bodyOf(values: Values): Values {
  return partOf(member(values.json, "output") ? partOf(values, "output") : values, "body");
}

/** Characters of a value in the list of changes. */
const SHORT = 200;

function ChangeList({ name, before, after }: { name: string; before: Values; after: Values }) {
  const words = texts.executions.changes;
  const found = differences(before.json, after.json);
  const part = before.cuts.length + after.cuts.length > 0;
  if (found.length === 0) return <Empty title={words.none(name)}>{part && words.partly}</Empty>;
  return (
    <div class="changes">
      <p class="muted">
        {words.since} <code class="foreign">{name}</code>
        {part && ` ${words.partly}`}
      </p>
      <table class="changes-table">
        <tbody>
          {found.map((one) => (
            <tr key={path("", one.keys)} class={`changes-${one.kind}`}>
              <th scope="row">
                <code>
                  <Text>{path("body", one.keys)}</Text>
                </code>
                <span class="sr-only">{words.kinds[one.kind]}</span>
              </th>
              <td>
                {one.kind !== "added" && (
                  <del>
                    <Short json={one.before} />
                  </del>
                )}
                {one.kind !== "removed" && (
                  <ins>
                    <Short json={one.after} />
                  </ins>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Short({ json }: { json: Json }) {
  const text = print(json, "");
  return <Text>{text.length > SHORT ? `${text.slice(0, SHORT)}…` : text}</Text>;
}
