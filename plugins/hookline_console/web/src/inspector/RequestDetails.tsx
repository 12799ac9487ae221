import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { api, body } from "../api/client";
import { useResource } from "../api/resource";
import { flowFromRequest, isAcceptable } from "../begin/request_flow";
import { useBegin } from "../begin/useBegin";
import { editorUrl } from "../editor/editor_url";
import { Text } from "../json/Text";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { formatBytes } from "../ui/format";
import { Empty, Loaded } from "../ui/Notices";
import { Facts } from "../ui/Page";
import { type Column, Table } from "../ui/Table";
import { Tabs } from "../ui/Tabs";
import { Time } from "../ui/Time";
import { showToast } from "../ui/toasts";
import { type CapturedRequest, queryPairs, type Shown, TONES } from "./captured";
import { RequestBody } from "./RequestBody";

const words = texts.inspector;

interface RequestDetailsProps extends Shown {
  flowId: string;
  exists: boolean;
  /** Somebody begins to do something with the request. */
  onUse: () => void;
}

/** All about a captured request. Its headers and its body are loaded when it is shown. */
export function RequestDetails({ flowId, info, isKept, exists, onUse }: RequestDetailsProps) {
  const path = { flow_id: flowId, request_id: info.id };
  const request = useResource(
    (signal) =>
      body(api.GET("/api/v1/captures/{flow_id}/requests/{request_id}", { params: { path }, signal })),
    [flowId, info.id],
  );
  return (
    <section
      class="card inspector-details"
      aria-label={words.request}
      onFocusIn={onUse}
      onPointerDown={onUse}
    >
      <div class="section-head">
        <h2 class="foreign">
          {info.method} /hook/<Text>{info.path}</Text>
        </h2>
        <Badge tone={TONES[info.result]}>{words.resultWith(words.results[info.result], info.status)}</Badge>
        <div class="section-actions">
          {info.result === "accepted" && info.execution_id && <Resend executionId={info.execution_id} />}
          {exists && isKept && info.result !== "captured" && (
            <a class="button" href={editorUrl(flowId, { tab: "lab", request: info.id })}>
              {words.openLab}
            </a>
          )}
          {!exists && request.value && <MakeFlow flowId={flowId} request={request.value} isKept={isKept} />}
        </div>
      </div>
      {!isKept && (
        <p class="inspector-note muted" role="status">
          {words.notKept}
        </p>
      )}
      {info.reason !== null && (
        <p class="inspector-note inspector-reason foreign">
          <Text>{info.reason}</Text> {info.code && <code>{info.code}</code>}
        </p>
      )}
      <Facts facts={factsOf(info)} />
      <Loaded resource={request} lines={5}>
        {(value) => <Parts request={value} />}
      </Loaded>
    </section>
  );
}

function factsOf(info: Shown["info"]) {
  const link = info.execution_id && <a href={`/executions/${info.execution_id}`}>{info.execution_id}</a>;
  return [
    [words.facts.at, <Time key="at" at={info.at} />],
    [words.facts.client, info.client ?? "–"],
    [words.facts.type, info.content_type ?? "–"],
    [words.facts.size, formatBytes(info.size)],
    ...(link ? [[words.facts.execution, link] as const] : []),
  ] as const;
}

/** Start the execution of an accepted message again. */
function Resend({ executionId }: { executionId: string }) {
  const { route } = useLocation();
  const resend = async () => {
    const params = { path: { execution_id: executionId } };
    const made = await body(api.POST("/api/v1/executions/{execution_id}/replay", { params, body: {} }));
    showToast(words.resent);
    route(`/executions/${made.execution_id}`);
  };
  return (
    <Button scope="operate" onClick={resend}>
      {words.resend}
    </Button>
  );
}

interface MakeFlowProps extends Pick<RequestDetailsProps, "flowId" | "isKept"> {
  request: CapturedRequest;
}

function MakeFlow({ flowId, request, isKept }: MakeFlowProps) {
  const { begin, question } = useBegin();
  if (!isAcceptable(request)) return <p class="muted">{words.notAcceptable(request.method)}</p>;
  return (
    <>
      <Button
        kind="primary"
        scope="author"
        onClick={() =>
          begin(flowId, () => flowFromRequest(flowId, request), {
            tab: "lab",
            ...(isKept && { request: request.id }),
          })
        }
      >
        {words.makeFlow}
      </Button>
      {question}
    </>
  );
}

function Parts({ request }: { request: CapturedRequest }) {
  const [tab, setTab] = useState("body");
  const query = queryPairs(request.query);
  const tabs = [
    { key: "body", title: words.tabs.body },
    { key: "headers", title: words.tabs.headers, count: request.headers.length },
    { key: "query", title: words.tabs.query, count: query.length },
  ];
  return (
    <Tabs label={words.parts} tabs={tabs} selected={tab} onSelect={setTab}>
      {tab === "body" && <RequestBody request={request} />}
      {tab === "headers" && (
        <Pairs label={words.tabs.headers} pairs={request.headers} empty={words.noHeaders} />
      )}
      {tab === "query" && <Pairs label={words.tabs.query} pairs={query} empty={words.noQuery} />}
    </Tabs>
  );
}

interface Pair {
  key: string;
  name: string;
  value: string;
}

const COLUMNS: readonly Column<Pair>[] = [
  { key: "name", title: words.name, width: "35%", cell: ({ name }) => <Foreign text={name} /> },
  { key: "value", title: words.value, cell: ({ value }) => <Foreign text={value} /> },
];

function Foreign({ text }: { text: string }) {
  return (
    <code class="foreign">
      <Text>{text}</Text>
    </code>
  );
}

interface PairsProps {
  label: string;
  pairs: readonly (readonly string[])[];
  empty: string;
}

function Pairs({ label, pairs, empty }: PairsProps) {
  if (pairs.length === 0) return <Empty title={empty} />;
  // A name may be repeated.
  const rows = pairs.map(([name = "", value = ""], index) => ({ key: `${index} ${name}`, name, value }));
  return <Table label={label} columns={COLUMNS} rows={rows} keyOf={({ key }) => key} />;
}
