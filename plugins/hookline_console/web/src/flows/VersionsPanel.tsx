import { useState } from "preact/hooks";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { short } from "../ui/format";
import { Loaded } from "../ui/Notices";
import { Time } from "../ui/Time";
import { Differences } from "./Differences";
import { RollBackDialog } from "./RollBackDialog";

const words = texts.flows.versions;

type VersionView = Schemas["VersionView"];

interface VersionsPanelProps {
  flow: Schemas["FlowView"];
  /** The version of the picture. */
  shown: string | null;
  onShow: (version: string) => void;
  /** Show a step, by its id. */
  onStep: (id: string) => void;
  onChange: () => void;
}

/** The versions of a flow, with their differences to the one that serves. */
export function VersionsPanel({ flow, shown, onShow, onStep, onChange }: VersionsPanelProps) {
  const path = { flow_id: flow.id };
  const versions = useResource(
    (signal) => body(api.GET("/api/v1/flows/{flow_id}/versions", { params: { path }, signal })),
    [flow.id, flow.version],
  );
  const [compared, setCompared] = useState<string | null>(null);
  const [returning, setReturning] = useState<string | null>(null);
  return (
    <Loaded resource={versions}>
      {({ items }) => (
        <>
          <ul class="panel-list" aria-label={words.label}>
            {items.map((version) => (
              <li key={version.version} class="panel-item version-row">
                <Heading version={version} shown={shown} />
                <div class="version-actions">
                  {version.version !== shown && (
                    <Button kind="quiet" small onClick={() => onShow(version.version)}>
                      {words.show}
                    </Button>
                  )}
                  {!version.serves && flow.version && (
                    <>
                      <button
                        type="button"
                        class="button button-quiet button-small"
                        aria-expanded={compared === version.version}
                        onClick={() => setCompared(compared === version.version ? null : version.version)}
                      >
                        {words.compare}
                      </button>
                      <Button kind="quiet" small scope="author" onClick={() => setReturning(version.version)}>
                        {words.rollBack}
                      </Button>
                    </>
                  )}
                </div>
                {compared === version.version && (
                  <Differences flowId={flow.id} version={version.version} onStep={onStep} />
                )}
              </li>
            ))}
          </ul>
          {returning && (
            <RollBackDialog
              flowId={flow.id}
              version={returning}
              onClose={() => setReturning(null)}
              onDone={() => {
                setCompared(null);
                onShow(returning);
                onChange();
                versions.reload();
              }}
            />
          )}
        </>
      )}
    </Loaded>
  );
}

function Heading({ version, shown }: { version: VersionView; shown: string | null }) {
  const unended = Object.values(version.executions).reduce((sum, count) => sum + count, 0);
  return (
    <div class="panel-row">
      <span class="cluster">
        <code title={version.version}>{short(version.version)}</code>
        {version.serves && <Badge tone="ok">{texts.flows.page.serves}</Badge>}
        {version.version === shown && <Badge tone="info">{words.shown}</Badge>}
      </span>
      <span class="muted">
        {unended > 0 && `${words.unended(unended)} · `}
        {words.served} <Time at={version.served_at} relative />
      </span>
    </div>
  );
}
