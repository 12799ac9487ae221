/** The steps of an execution after those that come with it, a page at a time. */

import { useEffect, useMemo, useState } from "preact/hooks";
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
function atItsEnd(step: Step, execution: Execution): Step {
  const { finished_at } = execution;
  if (step.state !== "waiting" || !hasEnded(execution) || finished_at === null) return step;
  return { ...step, state: "interrupted", finished_at, due_at: null };
}

/** Whether an execution has ended, so that it doesn't go on by itself. */
export function hasEnded({ state }: Execution): boolean {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}

export interface FurtherSteps {
  /** The execution with all steps that are loaded. */
  execution: Execution | undefined;
  /** Load the next page; undefined if there is none. */
  more: (() => void) | undefined;
  error: unknown;
  retry: () => void;
}

/** The pages of an execution's steps after the first, one request at a time. */
export class StepPages {
  pages: readonly (Page & { cursor: string })[] = [];
  /** Why a page could not be loaded. */
  error: unknown;

  private readonly loadPage: (cursor: string) => Promise<Page>;
  private readonly onChange: () => void;
  private loading: string | null = null;
  private failed = "";
  /** The execution was loaded again while a page was loading, which may show what was before. */
  private isStale = false;

  /** `onChange` is called when there is something else to show. */
  constructor(loadPage: (cursor: string) => Promise<Page>, onChange: () => void) {
    this.loadPage = loadPage;
    this.onChange = onChange;
  }

  /** Load a page, unless one is loading. */
  async load(cursor: string): Promise<void> {
    if (this.loading !== null) return;
    this.loading = cursor;
    try {
      const page = await this.loadPage(cursor);
      this.pages = [...this.pages.filter((one) => one.cursor !== cursor), { ...page, cursor }];
      this.error = undefined;
    } catch (error) {
      this.error = error;
      this.failed = cursor;
    }
    this.loading = null;
    this.onChange();
    if (this.isStale) await this.refresh();
  }

  /** Load the last page again, which may have more now. */
  async refresh(): Promise<void> {
    this.isStale = this.loading !== null;
    const last = this.pages.at(-1);
    if (last?.next === null) await this.load(last.cursor);
  }

  /** Load again what could not be loaded. */
  retry(): Promise<void> {
    return this.load(this.failed);
  }
}

/** All steps of an execution, which are loaded as they are asked for, and continued while it runs. */
export function useFurtherSteps(execution_id: string, execution: Execution | undefined): FurtherSteps {
  const [, redraw] = useState(0);
  const [steps] = useState(() => {
    const loadPage = (cursor: string) =>
      body(
        api.GET("/api/v1/executions/{execution_id}/steps", {
          params: { path: { execution_id }, query: { outline: true, cursor, limit: PAGE } },
        }),
      );
    return new StepPages(loadPage, () => redraw((turn) => turn + 1));
  });
  const { pages, error } = steps;
  useEffect(() => {
    steps.refresh();
  }, [execution]);
  const whole = useMemo(() => {
    const attempts = pages.flatMap((page) => page.items);
    return execution && { ...execution, steps: [...withAttempts(execution, attempts)] };
  }, [execution, pages]);
  const last = pages.at(-1);
  const next = last === undefined ? (execution?.more_steps ?? null) : last.next;
  return {
    execution: whole,
    more: next === null || error !== undefined ? undefined : () => steps.load(next),
    error,
    retry: () => steps.retry(),
  };
}
