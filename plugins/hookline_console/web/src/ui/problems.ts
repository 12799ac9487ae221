import { ApiError } from "../api/problem";
import { texts } from "../texts";

/** What went wrong, and what to do about it. */
export function describeProblem(error: unknown): { title: string; detail: string } {
  const known = texts.problems;
  if (!(error instanceof ApiError)) return { title: known.defect.title, detail: String(error) };
  if (error.status === 0) return known.unreachable;
  if (error.status === 403)
    return { title: known.forbidden.title, detail: error.detail || known.forbidden.detail };
  if (error.status === 404)
    return { title: known.notFound.title, detail: error.detail || known.notFound.detail };
  return { title: error.title || known.defect.title, detail: error.detail || error.title };
}
