/** Signing in and out. The session is a cookie that scripts can't read. */

import type { Schemas } from "./client";
import { api, body } from "./client";
import { ApiError } from "./problem";

export type Me = Schemas["MeView"];
export type Scope = Schemas["TokenScope"];

const SCOPES: readonly Scope[] = ["read", "operate", "author", "admin"];

/** Whether the caller has a scope. Each scope includes those before it. */
export function allows(me: Me, scope: Scope): boolean {
  const highest = Math.max(...me.scopes.map((each) => SCOPES.indexOf(each)));
  return highest >= SCOPES.indexOf(scope);
}

/** The caller, or null if there is no session. */
export async function loadMe(): Promise<Me | null> {
  try {
    return await body(api.GET("/api/v1/me"));
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null;
    throw error;
  }
}

/** Sign in with a token or with a one-time code. Throws `ApiError`. */
export async function signIn(proof: { token: string } | { code: string }): Promise<Me> {
  return body(api.POST("/api/v1/session", { body: proof }));
}

/** Sign out. A session that has ended by itself needs nothing more. */
export async function signOut(): Promise<void> {
  try {
    await api.DELETE("/api/v1/session");
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
  }
}

/** Take the one-time code out of the URL's fragment, and out of the browser's history. */
export function takeCode(location: Location, history: History): string | null {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code !== null) history.replaceState(history.state, "", location.pathname + location.search);
  return code;
}
