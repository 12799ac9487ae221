/** A request as a command for a shell. */

export interface CurlRequest {
  url: string;
  method: string;
  headers: readonly (readonly [string, string])[];
  /** A text; empty for none. */
  body: string;
}

/** A `curl` command, in a line for each part. It can be pasted into any POSIX shell. */
export function curlOf({ url, method, headers, body }: CurlRequest): string {
  const parts = [`curl ${quoted(url)}`];
  if (method !== (body ? "POST" : "GET")) parts.push(`--request ${quoted(method)}`);
  for (const [name, value] of headers) parts.push(`--header ${quoted(`${name}: ${value}`)}`);
  if (body) parts.push(`--data-binary ${quoted(body)}`);
  return parts.join(" \\\n  ");
}

/** A text that a shell takes as it is. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Bytes in base64 as a text, or null if they are none. */
export function textOfBase64(base64: string): string | null {
  const bytes = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** A text as UTF-8 in base64. */
export function base64OfText(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (each) => String.fromCharCode(each)).join(""));
}
