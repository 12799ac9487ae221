import "./backtest.css";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Editing } from "../code/editing";
import { stepById } from "../document/flow_document";
import { type Json, print } from "../json/json";
import { Text } from "../json/Text";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { shortId } from "../ui/format";
import { Empty } from "../ui/Notices";
import { backtest, byKind, type Group as DifferenceGroup, type Page } from "./backtest";

const words = texts.backtest;
const COUNTS = [10, 50, 200];

export interface Backtesting {
  most: number;
  setMost: (most: number) => void;
  /** The result so far, and the text that was compared. */
  found: { text: string; result: Page } | null;
  run: () => Promise<void>;
}

/** The comparison of the text in the editor with the last executions. */
export function useBacktest(editing: Editing | null): Backtesting {
  const [most, setMost] = useState(50);
  const [found, setFound] = useState<Backtesting["found"]>(null);
  const turn = useRef(0);
  // Nobody waits for further pages once the editor is closed.
  useEffect(
    () => () => {
      turn.current += 1;
    },
    [],
  );
  const run = async () => {
    if (!editing) return;
    turn.current += 1;
    const own = turn.current;
    const { text } = editing.document;
    await backtest(
      text,
      most,
      (result) => setFound({ text, result }),
      () => own !== turn.current,
    );
  };
  return { most, setMost, found, run };
}

interface BacktestPanelProps {
  exists: boolean;
  editing: Editing;
  testing: Backtesting;
  /** Look at an execution with the text that is being written. */
  onTry: (executionId: string) => void;
}

/** What the text would change in the last executions, by kind. */
export function BacktestPanel({ exists, editing, testing, onTry }: BacktestPanelProps) {
  const { most, setMost, found, run } = testing;
  if (!exists) return <Empty title={words.notServed} />;
  return (
    <div class="lab">
      <div class="lab-bar">
        <label class="lab-message">
          <span class="muted">{words.last}</span>
          <select class="input" value={most} onChange={(event) => setMost(Number(event.currentTarget.value))}>
            {COUNTS.map((count) => (
              <option key={count} value={count}>
                {words.executions(count)}
              </option>
            ))}
          </select>
        </label>
        <Button kind="primary" small scope="author" onClick={run}>
          {words.run}
        </Button>
        {found && (
          <span role="status">
            {words.summary(found.result.executions, found.result.same, found.result.unknown)}
          </span>
        )}
        {found && found.text !== editing.document.text && <span class="muted">{texts.trying.old}</span>}
      </div>
      <div class="backtest-found">
        {found ? (
          <Found result={found.result} editing={editing} onTry={onTry} />
        ) : (
          <Empty title={words.hint} />
        )}
      </div>
    </div>
  );
}

type FoundProps = { result: Page } & Pick<BacktestPanelProps, "editing" | "onTry">;

function Found({ result, editing, onTry }: FoundProps) {
  const names: Readonly<Record<string, string>> = words.kinds;
  return (
    <>
      {result.kinds.length === 0 && <p class="edit-note">{words.same(result.executions)}</p>}
      {byKind(result.kinds).map(({ kind, groups }) => (
        <section key={kind} aria-label={names[kind] ?? kind}>
          <h2 class="try-title">{names[kind] ?? kind}</h2>
          {groups.map((group) => (
            <Group key={group.step} group={group} editing={editing} onTry={onTry} />
          ))}
        </section>
      ))}
      {result.left_out.map(({ why, step, count }) => (
        <p key={why + step} class="edit-note foreign">
          {words.leftOut(count, step, why)}
        </p>
      ))}
    </>
  );
}

interface GroupProps extends Pick<BacktestPanelProps, "editing" | "onTry"> {
  group: DifferenceGroup;
}

/** The differences of one kind at one step, with examples. */
function Group({ group, editing, onTry }: GroupProps) {
  const { step, count, examples } = group;
  const id = step.slice(step.lastIndexOf("/") + 1);
  const place = stepById(editing.document, id);
  return (
    <details class="backtest-group">
      <summary>
        <span class="foreign">{step || words.whole}</span>{" "}
        <span class="muted">{words.executions(count)}</span>
      </summary>
      {place && (
        <Button small kind="quiet" onClick={() => editing.reveal(place.pointer)}>
          {words.showStep}
        </Button>
      )}
      <ul>
        {examples.map((example) => (
          <li key={example.execution_id + example.place}>
            <div class="try-head">
              <a href={`/executions/${example.execution_id}`}>{shortId(example.execution_id)}</a>
              <code class="foreign">{example.place}</code>
              <Button small kind="quiet" onClick={() => onTry(example.execution_id)}>
                {words.tryIt}
              </Button>
            </div>
            <div class="backtest-values foreign">
              <del>
                <Text>{shown(example.before)}</Text>
              </del>
              <ins>
                <Text>{shown(example.after)}</Text>
              </ins>
            </div>
          </li>
        ))}
      </ul>
    </details>
  );
}

const LONGEST = 2000;

function shown(value: Json): string {
  const text = print(value, " ");
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
