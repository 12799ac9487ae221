import "./flow.css";
import { useMemo, useState } from "preact/hooks";
import { useRoute } from "preact-iso";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { Text } from "../json/Text";
import { type Chart, chartOf, walk } from "../picture/chart";
import { foldsAtFirst, revealed, toggled } from "../picture/folding";
import { Picture } from "../picture/Picture";
import { failedAt, traceOf } from "../picture/trace";
import { texts } from "../texts";
import { StateBadge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { short } from "../ui/format";
import { Empty, Failed, Loaded, Loading } from "../ui/Notices";
import { Page } from "../ui/Page";
import { describeProblem } from "../ui/problems";
import { Tabs } from "../ui/Tabs";
import { ExecutionsPanel } from "./ExecutionsPanel";
import { FlowActions } from "./FlowActions";
import { Problems } from "./Problems";
import { type Place, usePlace } from "./place";
import { RejectedPanel } from "./RejectedPanel";
import { RequestPanel } from "./RequestPanel";
import { SourcePanel } from "./SourcePanel";
import { type Source, sourceOf } from "./source";
import { useStepCounts } from "./useStepCounts";
import { VersionsPanel } from "./VersionsPanel";

const words = texts.flows.page;

type FlowView = Schemas["FlowView"];

/** A flow: its picture, and what is known about it beside. */
export function Flow() {
  const { params } = useRoute();
  const id = params.id ?? "";
  const flow = useResource(
    (signal) => body(api.GET("/api/v1/flows/{flow_id}", { params: { path: { flow_id: id } }, signal })),
    [id],
  );
  const { value } = flow;
  return (
    <Page
      title={id}
      parent={{ title: texts.pages.flows, href: "/flows" }}
      beside={value && <StateBadge state={value.state} />}
      lead={value && <Lead flow={value} />}
      actions={value && <FlowActions flow={value} onChange={flow.reload} />}
    >
      <Loaded resource={flow}>
        {(loaded) => <FlowContent key={id} flow={loaded} onChange={flow.reload} />}
      </Loaded>
    </Page>
  );
}

function Lead({ flow }: { flow: FlowView }) {
  return (
    <>
      {flow.title && <Text>{flow.title}</Text>}
      <span class="flow-lead">
        {flow.trigger && <span class="foreign">{flow.trigger}</span>}
        {flow.version && <code title={flow.version}>{short(flow.version)}</code>}
        {flow.override && <span>{texts.flows.list.overridden}</span>}
      </span>
    </>
  );
}

interface Version {
  version: string;
  chart: Chart;
  source: Source;
  /** The id of each step by its pointer. */
  ids: Readonly<Record<string, string>>;
  document: unknown;
}

/** A version of a flow. Its text is kept as the server sent it, since JavaScript can't hold all numbers. */
async function loadVersion(flowId: string, name: string, signal: AbortSignal): Promise<Version> {
  const path = { flow_id: flowId, version: name };
  const text = await body(
    api.GET("/api/v1/flows/{flow_id}/versions/{version}", { params: { path }, parseAs: "text", signal }),
  );
  const view: Schemas["DocumentView"] = JSON.parse(text);
  return {
    version: view.version,
    chart: chartOf(view.document, view.steps),
    source: sourceOf(text, "document"),
    ids: view.steps,
    document: view.document,
  };
}

function FlowContent({ flow, onChange }: { flow: FlowView; onChange: () => void }) {
  const [place, go] = usePlace();
  const execution = useResource(
    async (signal) => {
      if (!place.execution) return null;
      const path = { execution_id: place.execution };
      return body(api.GET("/api/v1/executions/{execution_id}", { params: { path }, signal }));
    },
    [place.execution],
    (event) => event.data.execution_id === place.execution,
  );
  const wanted = place.version || execution.value?.flow_version || flow.version;
  const waits = place.execution !== "" && execution.value === undefined && execution.error === undefined;
  const version = useResource(
    async (signal) => (wanted && !waits ? loadVersion(flow.id, wanted, signal) : null),
    [flow.id, wanted, waits],
  );
  const selected = place.step || null;
  return (
    <>
      {flow.problems.length > 0 && <Problems problems={flow.problems} />}
      {flow.source?.error && (
        <p class="flow-note flow-note-bad foreign">{words.source.failing(flow.source.error)}</p>
      )}
      {place.execution && execution.error !== undefined && (
        <p class="flow-note flow-note-bad foreign" role="alert">
          {describeProblem(execution.error).detail}
        </p>
      )}
      <div class="flow">
        <section class="card flow-picture" aria-label={words.picture}>
          {version.value ? (
            <PictureOf
              key={version.value.version}
              flow={flow}
              version={version.value}
              execution={execution.value ?? null}
              selected={selected}
              go={go}
            />
          ) : version.error !== undefined ? (
            <Failed error={version.error} retry={version.reload} />
          ) : flow.version === null ? (
            <Empty title={words.noVersion.title}>
              <p>{words.noVersion.detail}</p>
            </Empty>
          ) : (
            <Loading />
          )}
        </section>
        <section class="card flow-side" aria-label={words.panels}>
          <Side flow={flow} version={version.value ?? null} place={place} go={go} onChange={onChange} />
        </section>
      </div>
    </>
  );
}

interface PictureOfProps {
  flow: FlowView;
  version: Version;
  execution: Schemas["ExecutionView"] | null;
  selected: string | null;
  go: (changes: Partial<Place>) => void;
}

/** The picture of a version, with a line about it when it isn't the one that serves. */
function PictureOf({ flow, version, execution, selected, go }: PictureOfProps) {
  const { chart } = version;
  const { counts, beats } = useStepCounts(flow.id);
  const [folded, setFolded] = useState(() => revealed(foldsAtFirst(chart), selected ?? ""));
  const shown = selected === null ? folded : revealed(folded, selected);
  const trace = useMemo(
    () =>
      execution &&
      traceOf(
        chart,
        [...execution.steps, ...failedAt(execution.error?.step)],
        execution.state === "succeeded",
      ),
    [chart, execution],
  );
  const isOlder = version.version !== flow.version;
  const toggle = (pointer: string) => {
    const changed = toggled(shown, pointer);
    // A step in a block that is being folded can't stay selected.
    if (changed.has(pointer) && selected?.startsWith(`${pointer}/`)) go({ step: pointer });
    setFolded(changed);
  };
  return (
    <>
      <div class="flow-canvas">
        <Picture
          chart={chart}
          label={words.flow(flow.id, chart.trigger)}
          folded={shown}
          onFold={(changed) => {
            if (selected && revealed(changed, selected) !== changed) go({ step: "" });
            setFolded(changed);
          }}
          onToggle={toggle}
          selected={selected}
          onSelect={(step) => go({ step })}
          counts={counts?.items ?? {}}
          beats={beats}
          trace={trace}
        />
      </div>
      <footer class="flow-foot">
        {chart.onErrorFlow && (
          <a href={`/flows/${encodeURIComponent(chart.onErrorFlow)}`}>
            {texts.flows.picture.startsOnError(chart.onErrorFlow)}
          </a>
        )}
        {isOlder ? (
          <>
            <span>{(execution ? words.otherVersion : words.olderVersion)(short(version.version))}</span>
            <Button kind="quiet" small onClick={() => go({ version: "", execution: "", step: "" })}>
              {words.showCurrent}
            </Button>
          </>
        ) : (
          counts && <span>{words.counts(counts.executions)}</span>
        )}
        {execution && (
          <Button kind="quiet" small onClick={() => go({ execution: "" })}>
            {texts.flows.executions.clear}
          </Button>
        )}
      </footer>
    </>
  );
}

interface SideProps {
  flow: FlowView;
  version: Version | null;
  place: Place;
  go: (changes: Partial<Place>) => void;
  onChange: () => void;
}

function Side({ flow, version, place, go, onChange }: SideProps) {
  const panels: Readonly<Record<string, () => preact.JSX.Element>> = {
    executions: () => (
      <ExecutionsPanel
        flowId={flow.id}
        chosen={place.execution}
        onChoose={(execution) => go({ execution, version: "" })}
      />
    ),
    json: () =>
      version ? (
        <SourcePanel
          source={version.source}
          steps={version.ids}
          selected={place.step || null}
          onSelect={(step) => go({ step })}
        />
      ) : (
        <Loading />
      ),
    request: () => <RequestPanel flow={flow} document={version?.document} />,
    versions: () => (
      <VersionsPanel
        flow={flow}
        shown={version?.version ?? null}
        onShow={(name) => go({ version: name === flow.version ? "" : name, execution: "", step: "" })}
        onStep={(id) => {
          const pointer = version && stepPointer(version.chart, id);
          if (pointer) go({ step: pointer });
        }}
        onChange={onChange}
      />
    ),
    rejected: () => <RejectedPanel flowId={flow.id} />,
  };
  const keys = Object.keys(panels) as (keyof typeof words.tabs)[];
  const tab = place.tab in panels ? place.tab : "executions";
  return (
    <Tabs
      label={words.panels}
      tabs={keys.map((key) => ({ key, title: words.tabs[key] }))}
      selected={tab}
      onSelect={(key) => go({ tab: key === "executions" ? "" : key })}
    >
      {panels[tab]?.()}
    </Tabs>
  );
}

function stepPointer(chart: Chart, id: string): string | null {
  for (const step of walk([...chart.steps, ...chart.onError])) if (step.id === id) return step.pointer;
  return null;
}
