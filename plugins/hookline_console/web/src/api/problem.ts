import type { components } from "./schema";

export type ProblemDocument = components["schemas"]["ProblemDocument"];

/** A response of the API that isn't a success, or none at all (`status` 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly problems: NonNullable<ProblemDocument["problems"]>;

  constructor(status: number, problem: Partial<ProblemDocument>) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.code = problem.code ?? `http.${status}`;
    this.title = problem.title ?? "";
    this.detail = problem.detail ?? "";
    this.problems = problem.problems ?? [];
  }
}

/** The problem of a response, also if a proxy answered with something that isn't a problem document. */
export async function problemOf(response: Response): Promise<ApiError> {
  const isProblem = response.headers.get("Content-Type")?.startsWith("application/problem+json");
  const document: Partial<ProblemDocument> = isProblem
    ? await response.json()
    : { title: response.statusText || `HTTP ${response.status}` };
  return new ApiError(response.status, document);
}
