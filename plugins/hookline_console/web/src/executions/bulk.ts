/** An operation on many executions, a page or an execution at a time, with its progress. It can be stopped between them. */

import { ApiError } from "../api/problem";

export type Operation = "retry" | "replay" | "cancel" | "discard";

export interface Rejection {
  id: string;
  code: string;
  message: string;
}

export interface Progress {
  done: number;
  rejected: readonly Rejection[];
  /** The state of the operation; `failed` if the API can't be called. */
  state: "running" | "stopped" | "failed" | "finished";
  error?: unknown;
}

export interface PageResult {
  done: readonly unknown[];
  rejected: readonly Rejection[];
  next: string | null;
}

export const BEGUN: Progress = { done: 0, rejected: [], state: "running" };

interface Running {
  tell: (progress: Progress) => void;
  signal: AbortSignal;
}

/** Run an operation page by page; `page` does one, and says where the next begins. */
export async function runPages(
  page: (cursor: string | null) => Promise<PageResult>,
  { tell, signal }: Running,
): Promise<Progress> {
  let progress = BEGUN;
  let cursor: string | null = null;
  try {
    do {
      const result: PageResult = await page(cursor);
      cursor = result.next;
      progress = {
        ...progress,
        done: progress.done + result.done.length,
        rejected: [...progress.rejected, ...result.rejected],
      };
      if (cursor !== null) tell(progress);
    } while (cursor !== null && !signal.aborted);
    progress = { ...progress, state: cursor === null ? "finished" : "stopped" };
  } catch (error) {
    progress = { ...progress, state: "failed", error };
  }
  tell(progress);
  return progress;
}

/** Run an operation on each of some executions, one after the other. An execution that it rejects doesn't stop it. */
export async function runEach(
  ids: readonly string[],
  one: (id: string) => Promise<unknown>,
  { tell, signal }: Running,
): Promise<Progress> {
  const left = [...ids];
  return runPages(
    async () => {
      const id = left.shift();
      const next = left[0] ?? null;
      if (id === undefined) return { done: [], rejected: [], next };
      try {
        await one(id);
        return { done: [id], rejected: [], next };
      } catch (error) {
        if (!(error instanceof ApiError) || error.status === 0 || error.status >= 500) throw error;
        return { done: [], rejected: [{ id, code: error.code, message: error.message }], next };
      }
    },
    { tell, signal },
  );
}
