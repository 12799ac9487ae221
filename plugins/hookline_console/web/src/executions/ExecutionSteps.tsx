import { useEffect, useMemo, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import type { Schemas } from "../api/client";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Failed } from "../ui/Notices";
import { Section } from "../ui/Page";
import { useNow } from "../ui/useNow";
import type { Definition } from "./definition";
import { type FurtherSteps, hasEnded } from "./further_steps";
import { Message } from "./Message";
import { StepDetails } from "./StepDetails";
import { blocksOf, openBlocks, timeline } from "./timeline";
import { Waterfall } from "./Waterfall";

interface ExecutionStepsProps {
  execution: Schemas["ExecutionView"];
  definitions: ReadonlyMap<string, Definition> | undefined;
  further: FurtherSteps;
}

/** The steps of an execution on a scale of time, and what is known about the chosen one. */
export function ExecutionSteps({ execution, definitions, further }: ExecutionStepsProps) {
  const words = texts.executions;
  const { path, query, route } = useLocation();
  const running = !hasEnded(execution);
  const now = useNow(running ? 1000 : null);
  // Blocks that were opened or closed by hand; all others are as they are at first.
  const [changed, setChanged] = useState<ReadonlyMap<string, boolean>>(new Map());
  const open = useMemo(() => {
    const found = openBlocks(execution.steps);
    for (const block of blocksOf(query.step ?? "")) found.add(block);
    for (const [block, isOpen] of changed) {
      if (isOpen) found.add(block);
      else found.delete(block);
    }
    return found;
  }, [execution.steps, changed, query.step]);
  // The present is cut to seconds, so that nothing moves while nothing is open.
  const laid = useMemo(
    () => timeline(execution, open, now.getTime() * 1000),
    [execution, open, running ? now.getTime() : 0],
  );
  const first = execution.steps.find((step) => step.state === "failed") ?? execution.waits[0];
  const chosen = query.step ?? (running ? "" : (first?.path ?? ""));
  const step = execution.steps.find((one) => one.path === chosen);
  const choose = (to: string) => route(`${path}?${new URLSearchParams({ step: to })}`, true);
  const toggle = (block: string) => setChanged(new Map(changed).set(block, !open.has(block)));
  const all = laid.rows.filter((row) => row.expandable);
  const { more } = further;
  useEffect(() => {
    // The URL may name a step that isn't loaded yet.
    if (chosen !== "" && step === undefined) more?.();
  });
  return (
    <>
      <Section
        title={words.steps}
        beside={<span class="muted">{words.stepCount(execution.steps.length, more !== undefined)}</span>}
        actions={
          all.length > 0 && (
            <Button
              small
              kind="quiet"
              onClick={() => {
                const fold = all.some((row) => row.expanded);
                const blocks = execution.steps.flatMap((one) => blocksOf(one.path));
                setChanged(new Map(blocks.map((block) => [block, !fold])));
              }}
            >
              {all.some((row) => row.expanded) ? words.foldAll : words.unfoldAll}
            </Button>
          )
        }
      >
        <Waterfall timeline={laid} chosen={chosen} onChoose={choose} onToggle={toggle} more={more} />
        {further.error !== undefined && <Failed error={further.error} retry={further.retry} />}
        {execution.items.map((item) => (
          <p key={item.path} class="execution-items muted">
            {words.items(item.path, item.done, item.total, item.failed)}
          </p>
        ))}
      </Section>
      {step ? (
        <StepDetails
          key={`${step.path} ${step.attempt}`}
          execution={execution}
          step={step}
          definitions={definitions}
        />
      ) : (
        <Message execution={execution} />
      )}
    </>
  );
}
