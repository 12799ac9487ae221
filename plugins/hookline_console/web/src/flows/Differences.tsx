import { api } from "../api/client";
import { useResource } from "../api/resource";
import { print } from "../json/json";
import { scalar } from "../json/tree";
import { texts } from "../texts";
import { Badge, type Tone } from "../ui/Badge";
import { Loaded } from "../ui/Notices";
import { type FlowDifference, readDifferences } from "./flow_differences";

const words = texts.flows.diff;

const KINDS: Readonly<Record<string, readonly [string, Tone]>> = {
  step_added: [words.added, "ok"],
  step_removed: [words.removed, "bad"],
  step_moved: [words.moved, "info"],
  step_renamed: [words.renamed, "info"],
};

interface DifferencesProps {
  flowId: string;
  version: string;
  /** Show a step, by its id. */
  onStep: (id: string) => void;
}

/** What has changed in meaning from a version to the one that serves. */
export function Differences({ flowId, version, onStep }: DifferencesProps) {
  const path = { flow_id: flowId, version };
  const found = useResource(
    async (signal) => {
      const options = { params: { path }, signal, parseAs: "text" } as const;
      const { data } = await api.GET("/api/v1/flows/{flow_id}/versions/{version}/diff", options);
      return readDifferences(data as string);
    },
    [flowId, version],
  );
  return (
    <Loaded resource={found} lines={3}>
      {(differences) => (
        <DifferenceList
          differences={differences}
          none={words.none}
          before={texts.flows.versions.newer}
          onStep={onStep}
        />
      )}
    </Loaded>
  );
}

interface DifferenceListProps {
  differences: readonly FlowDifference[];
  /** The text if there are none. */
  none: string;
  /** What has them, before their number. */
  before?: string;
  onStep?: (id: string) => void;
}

export function DifferenceList({ differences, none, before, onStep }: DifferenceListProps) {
  if (differences.length === 0) return <p class="muted">{none}</p>;
  const summary = words.summary(differences.length);
  return (
    <div>
      <p class="muted">{before ? `${before}: ${summary}` : summary}</p>
      <ul class="differences" aria-label={words.label}>
        {differences.map((difference) => (
          <li key={`${difference.kind} ${difference.at}`}>
            <One difference={difference} {...(onStep && { onStep })} />
          </li>
        ))}
      </ul>
    </div>
  );
}

function One({ difference, onStep }: { difference: FlowDifference } & Pick<DifferenceListProps, "onStep">) {
  const { kind, at, old, new: now, place } = difference;
  const [name, tone] = KINDS[kind] ?? [words.changed, "warn"];
  const step = /^steps\.([a-z0-9_]+)/.exec(kind === "step_renamed" && now ? `steps.${scalar(now)}` : at)?.[1];
  const moves = kind === "step_moved" || kind === "step_renamed";
  return (
    <>
      <div class="difference-head">
        <Badge tone={tone}>{name}</Badge>
        {onStep && step !== undefined && kind !== "step_removed" ? (
          <button type="button" class="difference-place difference-link foreign" onClick={() => onStep(step)}>
            {at}
          </button>
        ) : (
          <span class="difference-place foreign">{at}</span>
        )}
        {place && <span class="muted foreign">{place}</span>}
      </div>
      {moves && old && now ? (
        <p class="muted foreign">{words.from(scalar(old), scalar(now))}</p>
      ) : (
        <div class="difference-values foreign">
          {old && <del>{print(old)}</del>}
          {now && <ins>{print(now)}</ins>}
        </div>
      )}
    </>
  );
}
