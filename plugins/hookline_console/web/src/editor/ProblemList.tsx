import type { Schemas } from "../api/client";
import { type Checked, goToProblem, remedy } from "../code/check";
import type { Editing } from "../code/editing";
import { actionLabel, creationOf } from "../code/fixes";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Button } from "../ui/Button";

const words = texts.editor.problems;

type Problem = Schemas["Problem"];

const TONES = { error: "bad", warning: "warn", note: "info" } as const;

/** The problems of the document, each with its place, its remedy, and a button if the remedy is exact. */
export function ProblemList({ checked, editing }: { checked: Checked | null; editing: Editing }) {
  if (checked?.failure) return <p class="edit-note flow-note-bad foreign">{checked.failure}</p>;
  if (!checked) return <p class="edit-note">{words.checking}</p>;
  if (checked.problems.length === 0) return <p class="edit-note">{words.none}</p>;
  return (
    <ul class="edit-problems" aria-label={words.label}>
      {checked.problems.map((problem, index) => (
        <li key={`${index} ${problem.code}`}>
          <One problem={problem} editing={editing} />
        </li>
      ))}
    </ul>
  );
}

function One({ problem, editing }: { problem: Problem; editing: Editing }) {
  const { severity } = problem;
  return (
    <div class="edit-problem">
      <Badge tone={TONES[severity]}>{words[severity]}</Badge>
      <button
        type="button"
        class="edit-problem-text foreign"
        onClick={() => goToProblem(editing.view, problem)}
      >
        <span>{problem.message}</span>
        <span class="problem-place">
          {problem.remedy}
          {problem.line ? ` · ${texts.flows.page.line(problem.line)}` : ""}
        </span>
      </button>
      {(problem.fix.length > 0 || creationOf(problem)) && (
        <Button small onClick={() => remedy(editing.view, problem)}>
          {actionLabel(problem)}
        </Button>
      )}
    </div>
  );
}
