import { useState } from "preact/hooks";
import type { Schemas } from "../api/client";
import type { Editing } from "../code/editing";
import type { Message } from "../lab/useMessage";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { Empty, Loaded } from "../ui/Notices";
import { type CasesRun, runCases } from "./cases";

const words = texts.cases;

/** The results of a flow's cases, and the text that was run. */
export interface Ran {
  text: string;
  result: CasesRun;
}

export interface CaseRuns {
  ran: Ran | null;
  run: () => Promise<void>;
}

/** The runs of all cases of a flow on the text in the editor. */
export function useCaseRuns(editing: Editing | null, message: Message): CaseRuns {
  const [ran, setRan] = useState<Ran | null>(null);
  const run = async () => {
    const cases = [...(message.messages.value?.cases.values() ?? [])];
    if (!editing || cases.length === 0) return;
    const { text } = editing.document;
    setRan({ text, result: await runCases(text, cases) });
  };
  return { ran, run };
}

interface CasesPanelProps {
  editing: Editing;
  message: Message;
  runs: CaseRuns;
  /** Try the text on a case. */
  onTry: (name: string) => void;
}

/** The cases of a flow, whether they pass, and what of the flow they don't reach. */
export function CasesPanel({ message, ...panel }: CasesPanelProps) {
  return (
    <Loaded resource={message.messages} lines={3}>
      {({ cases }) => <Cases names={[...cases.keys()]} {...panel} />}
    </Loaded>
  );
}

type CasesProps = Omit<CasesPanelProps, "message"> & { names: readonly string[] };

function Cases({ names, editing, runs, onTry }: CasesProps) {
  if (names.length === 0) return <Empty title={words.none}>{words.noneHint}</Empty>;
  const { ran, run } = runs;
  const results = new Map(ran?.result.cases.map((one) => [one.name, one]));
  return (
    <div class="lab">
      <div class="lab-bar">
        <Button kind="primary" small scope="author" onClick={run}>
          {words.run(names.length)}
        </Button>
        {ran && (
          <span role="status">
            {words.summary(ran.result.cases.filter(({ passed }) => passed).length, ran.result.cases.length)}{" "}
            {words.coverage(ran.result.reached, ran.result.total)}
          </span>
        )}
        {ran && ran.text !== editing.document.text && <span class="muted">{texts.trying.old}</span>}
      </div>
      <div class="lab-bench">
        <ul class="try-cases" aria-label={words.label}>
          {names.map((name) => (
            <li key={name}>
              <OneCase name={name} result={results.get(name)} onTry={() => onTry(name)} />
            </li>
          ))}
        </ul>
        <div class="try-step">{ran && <Missed missed={ran.result.missed} editing={editing} />}</div>
      </div>
    </div>
  );
}

interface OneCaseProps {
  name: string;
  result: Schemas["RanCaseView"] | undefined;
  onTry: () => void;
}

function OneCase({ name, result, onTry }: OneCaseProps) {
  return (
    <>
      <div class="try-head">
        {result && (
          <Badge tone={result.passed ? "ok" : "bad"}>{result.passed ? words.passed : words.failed}</Badge>
        )}
        <span class="foreign">{name}</span>
        <Button small kind="quiet" label={words.tryIt(name)} onClick={onTry}>
          {words.tryShort}
        </Button>
      </div>
      {result && result.differences.length > 0 && (
        <ul class="try-differences foreign">
          {result.differences.map((difference) => (
            <li key={difference}>{difference}</li>
          ))}
        </ul>
      )}
    </>
  );
}

/** The steps and branches to which no case has come; a click leads to each. */
function Missed({ missed, editing }: { missed: readonly Schemas["NotReached"][]; editing: Editing }) {
  if (missed.length === 0) return <p class="edit-note">{words.allReached}</p>;
  return (
    <section aria-label={words.missed}>
      <h2 class="try-title">{words.missed}</h2>
      <ul class="try-cases">
        {missed.map(({ what, pointer }) => (
          <li key={pointer + what}>
            <button type="button" class="edit-problem-text foreign" onClick={() => editing.reveal(pointer)}>
              <span>{what}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
