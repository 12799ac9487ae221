/** The limits of a credential: the flows that may use it, and the hosts to which it may be sent. */

import type { Schemas } from "../api/client";
import { texts } from "../texts";

const said = texts.credentials.limits;

export type Limits = Pick<Schemas["CredentialView"], "flows" | "hosts">;

/** What a type says of the hosts to which its credentials are sent; null if they are sent nowhere. */
export function hostsOfType(hosts: readonly string[] | null | undefined): string {
  if (!hosts) return said.noHosts;
  return hosts.length > 0 ? hosts.join(", ") : said.anyHost;
}

/** The hosts to which a credential may be sent. The server warns if neither it nor its type names any. */
export function hostsOf({ hosts, warnings }: Pick<Schemas["CredentialView"], "hosts" | "warnings">): string {
  return hosts.join(", ") || (warnings.length > 0 ? said.anyHost : said.hostsOfType);
}

/** Whether a credential with these patterns is for a flow; without patterns it is for all. */
export function covers(flows: readonly string[], flowId: string): boolean {
  return flows.length === 0 || flows.some((pattern) => matches(pattern, flowId));
}

/** Whether an id matches a pattern, in which `*` stands for any letters. */
function matches(pattern: string, id: string): boolean {
  const [first = "", ...middle] = pattern.split("*");
  const last = middle.pop();
  if (last === undefined) return id === pattern;
  if (!id.startsWith(first)) return false;
  let end = first.length;
  for (const part of middle) {
    const found = id.indexOf(part, end);
    if (found < 0) return false;
    end = found + part.length;
  }
  return id.length - last.length >= end && id.endsWith(last);
}
