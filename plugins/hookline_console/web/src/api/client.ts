/** The client of the admin API. Its paths, parameters and responses are those of the OpenAPI document. */

import createClient from "openapi-fetch";
import { ApiError, problemOf } from "./problem";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

const signedOut = new EventTarget();

export const api = createClient<paths>({ credentials: "same-origin" });
api.use({
  async onResponse({ response, schemaPath }) {
    if (response.ok) return;
    const error = await problemOf(response);
    if (error.status === 401 && schemaPath !== "/api/v1/session") announceSignedOut();
    throw error;
  },
  onError({ error }) {
    if (error instanceof DOMException && error.name === "AbortError") return error;
    return new ApiError(0, { title: "", code: "console.unreachable" });
  },
});

/** Tell that there is no session any more. */
export function announceSignedOut(): void {
  signedOut.dispatchEvent(new Event("signedout"));
}

/** Call a function whenever a response says that there is no session. Returns the function that ends this. */
export function onSignedOut(listener: () => void): () => void {
  signedOut.addEventListener("signedout", listener);
  return () => signedOut.removeEventListener("signedout", listener);
}

/** The body of a successful response. Errors have been thrown as `ApiError` before. */
export async function body<T>(call: Promise<{ data?: T }>): Promise<T> {
  return (await call).data as T;
}
