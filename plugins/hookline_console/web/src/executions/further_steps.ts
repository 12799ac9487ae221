/** The steps of an execution after those that come with it, a page at a time. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, body, type Schemas } from "../api/client";

type Execution = Schemas["ExecutionView"];
type Step = Schemas["LatestView"];
type Attempt = Schemas["StepView"];
type Page = Schemas["PageView_StepView_"];

const PAGE = 200;
/** As many earlier attempts as come with an execution. */
const EARLIER = 20;

/**
 * The steps of an execution with those of further pages. `attempts`: what the pages have, in order.
 *
 * The attempts at steps that came with the execution are among the pages, too, and known already.
 */
export function withAttempts(execution: Execution, attempts: readonly Attempt[]): readonly Step[] {
  if (attempts.length === 0) return execution.steps;
  const known = new Set(execution.steps.map((step) => step.path));
  const further = new Map<string, Attempt[]>();
  for (const one of attempts) {
    if (known.has(one.path)) continue;
    const all = further.get(one.path);
    if (all === undefined) further.set(one.path, [one]);
    else all.push(one);
  }
  return [...execution.steps, ...[...further.values()].flatMap((all) => latest(all, execution))];
}

/** The latest of the attempts at a step, with the earlier ones. */
function latest(attempts: readonly Attempt[], execution: Execution): Step[] {
  const last = attempts.at(-1);
  if (last === undefined) return [];
  // Only the latest attempt can be interrupted.
  const earlier = attempts.slice(0, -1).slice(-EARLIER) as Step["earlier"];
  return [atItsEnd({ ...last, earlier }, execution)];
}

/** A step that waited when its execution ended doesn't wait any more. */
function atItsEnd(step: Step, { state, finished_at }: Execution): Step {
  const ended = state === "succeeded" || state === "failed" || state === "cancelled";
  if (step.state !== "waiting" || !ended || finished_at === null) return step;
  return { ...step, state: "interrupted", finished_at, due_at: null };
}

export interface FurtherSteps {
  /** The execution with all steps that are loaded. */
  execution: Execution | undefined;
  /** Load the next page; undefined if there is none. */
  more: (() => void) | undefined;
  error: unknown;
  retry: () => void;
}

/** All steps of an execution, which are loaded as they are asked for, and continued while it runs. */
export function useFurtherSteps(execution: Execution | undefined): FurtherSteps {
  const [pages, setPages] = useState<readonly (Page & { cursor: string })[]>([]);
  const [error, setError] = useState<unknown>();
  const loading = useRef(false);
  const last = pages.at(-1);
  const next = last === undefined ? (execution?.more_steps ?? null) : last.next;

  const load = async (cursor: string) => {
    if (loading.current || execution === undefined) return;
    loading.current = true;
    try {
      const page = await body(
        api.GET("/api/v1/executions/{execution_id}/steps", {
          params: {
            path: { execution_id: execution.id },
            query: { outline: true, cursor, limit: PAGE },
          },
        }),
      );
      setPages((before) => [...before.filter((one) => one.cursor !== cursor), { ...page, cursor }]);
      setError(undefined);
    } catch (problem) {
      setError(problem);
    }
    loading.current = false;
  };
  useEffect(() => {
    // The execution was loaded again, so the last page may have more now.
    if (last?.next === null) load(last.cursor);
  }, [execution]);
  const whole = useMemo(() => {
    const attempts = pages.flatMap((page) => page.items);
    return execution && { ...execution, steps: [...withAttempts(execution, attempts)] };
  }, [execution, pages]);
  return {
    execution: whole,
    more: next === null || error !== undefined ? undefined : () => load(next),
    error,
    retry: () => next !== null && load(next),
  };
}
