/** The choices of the filters, computed from the reasons that the API counts. */

import type { Schemas } from "../api/client";
import { formatNumber } from "../ui/format";

type Reason = Schemas["RejectionReasonView"];

export interface Choice {
  value: string;
  label: string;
}

/** The flows with rejected requests, and the chosen one even if it has none any more. */
export function flowsOf(
  reasons: readonly Reason[],
  chosen: string | undefined,
  unknown: { id: string; label: string },
): Choice[] {
  return choices(
    reasons,
    (reason) => reason.flow_id,
    chosen,
    (id) => (id === unknown.id ? unknown.label : id),
  );
}

/** The codes of the rejected requests of a flow, or of all flows, and the chosen one. */
export function codesOf(
  reasons: readonly Reason[],
  flowId: string | undefined,
  chosen: string | undefined,
): Choice[] {
  const ofFlow = reasons.filter((reason) => !flowId || reason.flow_id === flowId);
  return choices(
    ofFlow,
    (reason) => reason.code,
    chosen,
    (code) => code,
  );
}

function choices(
  reasons: readonly Reason[],
  keyOf: (reason: Reason) => string,
  chosen: string | undefined,
  nameOf: (key: string) => string,
): Choice[] {
  const counts = new Map<string, number>(chosen ? [[chosen, 0]] : []);
  for (const reason of reasons) counts.set(keyOf(reason), (counts.get(keyOf(reason)) ?? 0) + reason.count);
  return [...counts]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([value, count]) => ({ value, label: `${nameOf(value)} (${formatNumber(count)})` }));
}
