import type { Schemas } from "../api/client";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { shortId } from "../ui/format";
import type { Result } from "./deployment";

const words = texts.editor.deploy;

/** What a deployment would mean: for the executions that wait, for the poll, and what the checker warns of. */
export function DeployPlan({ result }: { result: Result }) {
  const [plan] = result.plans;
  return (
    <div class="stack deploy-plan">
      {result.problems.length > 0 && (
        <section aria-label={words.warnings}>
          <h3>{words.warnings}</h3>
          <ul class="deploy-problems foreign">
            {result.problems.map((problem) => (
              <li key={`${problem.pointer} ${problem.detail}`}>
                {problem.detail}
                {problem.line ? ` (${texts.flows.page.line(problem.line)})` : ""}
              </li>
            ))}
          </ul>
        </section>
      )}
      <section aria-label={words.waiting}>
        <h3>{words.waiting}</h3>
        {plan && plan.items.length > 0 ? <Waiting plan={plan} /> : <p class="muted">{words.noneWait}</p>}
        {plan?.poll && <p>{words.poll(plan.poll.trigger)}</p>}
      </section>
    </div>
  );
}

function Waiting({ plan }: { plan: Schemas["FlowPlanView"] }) {
  return (
    <>
      <p class="muted">{words.stay}</p>
      <ul class="deploy-landings">
        {plan.items.map((item) => (
          <li key={item.execution_id} class="foreign">
            <a href={`/executions/${item.execution_id}`}>
              <code>{shortId(item.execution_id)}</code>
            </a>
            <Badge tone={item.fits ? "ok" : "warn"}>{item.fits ? words.fits : words.fitsNot}</Badge>
            <span class="muted">{item.problem ?? words.lands(item.lands.join(", "))}</span>
          </li>
        ))}
      </ul>
      {plan.next !== null && <p class="muted">{words.more}</p>}
    </>
  );
}
