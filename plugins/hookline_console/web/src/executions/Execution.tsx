import "./execution.css";
import { useMemo } from "preact/hooks";
import { useRoute } from "preact-iso";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { member, parse } from "../json/json";
import { texts } from "../texts";
import { StateBadge } from "../ui/Badge";
import { Copy } from "../ui/Copy";
import { shortId } from "../ui/format";
import { Failed, Loaded } from "../ui/Notices";
import { Page } from "../ui/Page";
import { Duration, Time } from "../ui/Time";
import { type Definition, definitions } from "./definition";
import { ExecutionActions } from "./ExecutionActions";
import { ExecutionHistory } from "./ExecutionHistory";
import { ExecutionSteps } from "./ExecutionSteps";
import { useFurtherSteps } from "./further_steps";
import { Trouble, Waits } from "./Trouble";

type ExecutionView = Schemas["ExecutionView"];

/** An execution: its steps on a scale of time, the values of each, and what can be done with it. */
export function Execution() {
  const { params } = useRoute();
  const id = params.id ?? "";
  return <OneExecution key={id} id={id} />;
}

function OneExecution({ id }: { id: string }) {
  const words = texts.executions;
  const resource = useResource(
    (signal) =>
      body(
        api.GET("/api/v1/executions/{execution_id}", {
          params: { path: { execution_id: id }, query: { outline: true } },
          signal,
        }),
      ),
    [id],
    (event) => event.data.execution_id === id,
  );
  const further = useFurtherSteps(id, resource.value);
  const { execution } = further;
  const steps = useDefinitions(execution);
  const parent = { title: texts.pages.executions, href: "/executions" };
  if (execution === undefined) {
    return (
      <Page title={words.one(shortId(id))} parent={parent}>
        {resource.error === undefined ? (
          <Loaded resource={resource}>{() => null}</Loaded>
        ) : (
          <Failed error={resource.error} retry={resource.reload} />
        )}
      </Page>
    );
  }
  return (
    <Page
      title={words.one(shortId(id))}
      parent={parent}
      beside={<StateBadge state={execution.state} />}
      lead={<Lead execution={execution} />}
      actions={<ExecutionActions execution={execution} definitions={steps} reload={resource.reload} />}
    >
      <Trouble execution={execution} />
      <Waits execution={execution} />
      <ExecutionSteps execution={execution} definitions={steps} further={further} />
      <ExecutionHistory execution={execution} />
    </Page>
  );
}

function Lead({ execution }: { execution: ExecutionView }) {
  const words = texts.executions.lead;
  return (
    <span class="execution-lead">
      <a href={`/flows/${encodeURIComponent(execution.flow_id)}`} class="foreign">
        {execution.flow_id}
      </a>
      <span>
        {words.accepted} <Time at={execution.created_at} />
      </span>
      {execution.started_at && (
        <span>
          {execution.finished_at ? words.took : words.runsFor}{" "}
          <Duration from={execution.started_at} until={execution.finished_at} />
        </span>
      )}
      {execution.attempt > 1 && <span>{words.attempt(execution.attempt)}</span>}
      {execution.node && <span class="foreign">{words.node(execution.node)}</span>}
      {execution.replay_of && (
        <a href={`/executions/${execution.replay_of}`}>{words.replayOf(shortId(execution.replay_of))}</a>
      )}
      <span class="mono foreign">{execution.id}</span>
      <Copy text={execution.id} label={words.copyId} />
    </span>
  );
}

/** The steps of the version on which an execution ran; undefined until they are there, or if it is no longer stored. */
function useDefinitions(execution: ExecutionView | undefined): ReadonlyMap<string, Definition> | undefined {
  const flow_id = execution?.flow_id;
  const version = execution?.flow_version;
  const document = useResource(
    async (signal) => {
      if (!flow_id || !version) return undefined;
      const { data } = await api.GET("/api/v1/flows/{flow_id}/versions/{version}", {
        params: { path: { flow_id, version } },
        signal,
        parseAs: "text",
      });
      return member(parse(data as string), "document");
    },
    [flow_id, version],
  ).value;
  return useMemo(() => (document === undefined ? undefined : definitions(document)), [document]);
}
