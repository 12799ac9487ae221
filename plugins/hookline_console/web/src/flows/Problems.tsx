import type { Schemas } from "../api/client";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";

const words = texts.flows.page;

type Problem = Schemas["Problem"];

/** What is wrong with a flow's document, and what to do about it. Warnings alone are folded. */
export function Problems({ problems }: { problems: readonly Problem[] }) {
  const isWarning = (problem: Problem) => problem.severity === "warning";
  const errors = problems.filter((problem) => !isWarning(problem));
  const ordered = [...errors, ...problems.filter(isWarning)];
  return (
    <details class="card problems" open={errors.length > 0}>
      <summary>
        <Badge tone={errors.length > 0 ? "bad" : "warn"}>{words.problems(problems.length)}</Badge>
        <span class="truncate foreign">{ordered[0]?.message}</span>
      </summary>
      <ul class="problem-list">
        {ordered.map((problem) => (
          <li key={`${problem.pointer} ${problem.code} ${problem.message}`} class="foreign">
            <p>{problem.message}</p>
            <p class="problem-place">
              {problem.remedy}
              {problem.line ? ` · ${words.line(problem.line)}` : ""} · <code>{problem.code}</code>
            </p>
          </li>
        ))}
      </ul>
    </details>
  );
}
