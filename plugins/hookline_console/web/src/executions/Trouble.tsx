import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import type { Schemas } from "../api/client";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Copy } from "../ui/Copy";
import { Time } from "../ui/Time";
import { AnswerDialog } from "./dialogs";
import { ErrorBox } from "./StepDetails";

type ExecutionView = Schemas["ExecutionView"];

/** Why it failed, or why it doesn't go on. */
export function Trouble({ execution }: { execution: ExecutionView }) {
  const words = texts.executions;
  const { path, query, route } = useLocation();
  const { error } = execution;
  if (error) {
    return (
      <div class="execution-trouble">
        <ErrorBox error={error} />
        {(error.step || execution.cause) && (
          <p class="cluster">
            {error.step && query.step !== error.step && (
              <Button
                small
                onClick={() => route(`${path}?step=${encodeURIComponent(error.step ?? "")}`, true)}
              >
                {words.goToStep(error.step)}
              </Button>
            )}
            {execution.cause && !execution.discarded_at && (
              <a class="button button-small" href={`/dead-letters/${encodeURIComponent(execution.cause)}`}>
                {words.sameCause}
              </a>
            )}
            {execution.discarded_at && (
              <span class="muted">
                {words.discarded} <Time at={execution.discarded_at} />
              </span>
            )}
          </p>
        )}
      </div>
    );
  }
  if (execution.state !== "waiting" || execution.waits.length > 0) return null;
  return (
    <p class="execution-waiting foreign">
      {words.reasons[execution.reason ?? ""] ?? execution.reason}
      {execution.ready_at && (
        <>
          {" "}
          {words.goesOn} <Time at={execution.ready_at} />
        </>
      )}
    </p>
  );
}

/** The callbacks for which it waits, and answering them. */
export function Waits({ execution }: { execution: ExecutionView }) {
  const words = texts.executions.waits;
  const [answering, setAnswering] = useState<Schemas["WaitView"] | null>(null);
  return (
    <>
      {execution.waits.map((wait) => (
        <div key={wait.path} class="execution-waiting cluster">
          <span>
            {words.waits} <code class="foreign">{wait.path}</code>, {words.since} <Time at={wait.since} />
            {wait.until && (
              <>
                , {words.until} <Time at={wait.until} />
              </>
            )}
          </span>
          <Button small kind="primary" scope="operate" onClick={() => setAnswering(wait)}>
            {words.answer}
          </Button>
          {wait.url && <Copy text={wait.url} label={words.copyUrl} />}
        </div>
      ))}
      {answering && (
        <AnswerDialog execution={execution} wait={answering} onClose={() => setAnswering(null)} />
      )}
    </>
  );
}
