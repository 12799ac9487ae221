/** An authorization by OAuth 2, whose end is asked for while somebody signs in on another page. */

import type { Schemas } from "../api/client";
import { ApiError } from "../api/problem";

export type Authorization = Schemas["AuthorizationView"];

const ASK_MS = 2000;

/**
 * Ask again and again until an authorization has ended; null once the signal is aborted.
 *
 * While the server can't answer, it is asked again. Throws `ApiError` if it answers that there is nothing to wait for.
 */
export async function untilEnded(
  ask: (signal: AbortSignal) => Promise<Authorization>,
  signal: AbortSignal,
): Promise<Authorization | null> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
    if (signal.aborted) return null;
    try {
      const now = await ask(signal);
      if (now.state !== "waiting") return now;
    } catch (error) {
      if (signal.aborted) return null;
      if (!(error instanceof ApiError) || (error.status >= 400 && error.status < 500)) throw error;
    }
  }
}
