import "./execution.css";
import { useEffect, useMemo, useState } from "preact/hooks";
import { useLocation, useRoute } from "preact-iso";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { editorUrl } from "../editor/editor_url";
import { member, parse } from "../json/json";
import { useCommands } from "../shell/commands";
import { useAllows } from "../shell/SessionContext";
import { texts } from "../texts";
import { StateBadge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { Copy } from "../ui/Copy";
import { ActionDialog } from "../ui/Dialog";
import { shortId } from "../ui/format";
import { Menu } from "../ui/Menu";
import { Failed, Loaded } from "../ui/Notices";
import { Page, Section } from "../ui/Page";
import { Duration, Time } from "../ui/Time";
import { showToast } from "../ui/toasts";
import { useNow } from "../ui/useNow";
import { type Definition, definitions } from "./definition";
import { AnswerDialog, CaseDialog, DiscardDialog, MoveDialog, ReplayDialog } from "./dialogs";
import { ExecutionHistory } from "./ExecutionHistory";
import { type FurtherSteps, useFurtherSteps } from "./further_steps";
import { Message } from "./Message";
import { ErrorBox, StepDetails } from "./StepDetails";
import { blocksOf, openBlocks, timeline } from "./timeline";
import { Waterfall } from "./Waterfall";

type ExecutionView = Schemas["ExecutionView"];

const ENDED = ["succeeded", "failed", "cancelled"];

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
      actions={<Actions execution={execution} steps={steps} reload={resource.reload} />}
    >
      <Trouble execution={execution} />
      <Waits execution={execution} />
      <Steps execution={execution} steps={steps} further={further} />
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

/** Why it failed, or why it doesn't go on. */
function Trouble({ execution }: { execution: ExecutionView }) {
  const words = texts.executions;
  const { path, query, route } = useLocation();
  const { error } = execution;
  if (error) {
    return (
      <div class="execution-trouble">
        <ErrorBox error={error} />
        {(error.step || execution.cause) && (
          <p class="cluster">
            {error.step && query.step !== error.step && (
              <Button
                small
                onClick={() => route(`${path}?step=${encodeURIComponent(error.step ?? "")}`, true)}
              >
                {words.goToStep(error.step)}
              </Button>
            )}
            {execution.cause && !execution.discarded_at && (
              <a class="button button-small" href={`/dead-letters/${encodeURIComponent(execution.cause)}`}>
                {words.sameCause}
              </a>
            )}
            {execution.discarded_at && (
              <span class="muted">
                {words.discarded} <Time at={execution.discarded_at} />
              </span>
            )}
          </p>
        )}
      </div>
    );
  }
  if (execution.state !== "waiting" || execution.waits.length > 0) return null;
  return (
    <p class="execution-waiting foreign">
      {words.reasons[execution.reason ?? ""] ?? execution.reason}
      {execution.ready_at && (
        <>
          {" "}
          {words.goesOn} <Time at={execution.ready_at} />
        </>
      )}
    </p>
  );
}

function Waits({ execution }: { execution: ExecutionView }) {
  const words = texts.executions.waits;
  const [answering, setAnswering] = useState<Schemas["WaitView"] | null>(null);
  return (
    <>
      {execution.waits.map((wait) => (
        <div key={wait.path} class="execution-waiting cluster">
          <span>
            {words.waits} <code class="foreign">{wait.path}</code>, {words.since} <Time at={wait.since} />
            {wait.until && (
              <>
                , {words.until} <Time at={wait.until} />
              </>
            )}
          </span>
          <Button small kind="primary" scope="operate" onClick={() => setAnswering(wait)}>
            {words.answer}
          </Button>
          {wait.url && <Copy text={wait.url} label={words.copyUrl} />}
        </div>
      ))}
      {answering && (
        <AnswerDialog execution={execution} wait={answering} onClose={() => setAnswering(null)} />
      )}
    </>
  );
}

type Definitions = ReadonlyMap<string, Definition> | undefined;

/** The steps of the version on which an execution ran; undefined until they are there, or if it is no longer stored. */
function useDefinitions(execution: ExecutionView | undefined): Definitions {
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

interface StepsProps {
  execution: ExecutionView;
  steps: Definitions;
}

function Steps({ execution, steps, further }: StepsProps & { further: FurtherSteps }) {
  const words = texts.executions;
  const { path, query, route } = useLocation();
  const running = !ENDED.includes(execution.state);
  const now = useNow(running ? 1000 : null);
  // Blocks that were opened or closed by hand; all others are as they are at first.
  const [changed, setChanged] = useState<ReadonlyMap<string, boolean>>(new Map());
  const open = useMemo(() => {
    const found = openBlocks(execution.steps);
    for (const block of blocksOf(query.step ?? "")) found.add(block);
    for (const [block, isOpen] of changed) {
      if (isOpen) found.add(block);
      else found.delete(block);
    }
    return found;
  }, [execution.steps, changed, query.step]);
  // The present is cut to seconds, so that nothing moves while nothing is open.
  const laid = useMemo(
    () => timeline(execution, open, now.getTime() * 1000),
    [execution, open, running ? now.getTime() : 0],
  );
  const first = execution.steps.find((step) => step.state === "failed") ?? execution.waits[0];
  const chosen = query.step ?? (running ? "" : (first?.path ?? ""));
  const step = execution.steps.find((one) => one.path === chosen);
  const choose = (to: string) => route(`${path}?${new URLSearchParams({ step: to })}`, true);
  const toggle = (block: string) => setChanged(new Map(changed).set(block, !open.has(block)));
  const all = laid.rows.filter((row) => row.expandable);
  const { more } = further;
  useEffect(() => {
    // The URL may name a step that isn't loaded yet.
    if (chosen !== "" && step === undefined) more?.();
  });
  return (
    <>
      <Section
        title={words.steps}
        beside={<span class="muted">{words.stepCount(execution.steps.length, more !== undefined)}</span>}
        actions={
          all.length > 0 && (
            <Button
              small
              kind="quiet"
              onClick={() => {
                const fold = all.some((row) => row.expanded);
                const blocks = execution.steps.flatMap((one) => blocksOf(one.path));
                setChanged(new Map(blocks.map((block) => [block, !fold])));
              }}
            >
              {all.some((row) => row.expanded) ? words.foldAll : words.unfoldAll}
            </Button>
          )
        }
      >
        <Waterfall timeline={laid} chosen={chosen} onChoose={choose} onToggle={toggle} more={more} />
        {further.error !== undefined && <Failed error={further.error} retry={further.retry} />}
        {execution.items.map((item) => (
          <p key={item.path} class="execution-items muted">
            {words.items(item.path, item.done, item.total, item.failed)}
          </p>
        ))}
      </Section>
      {step ? (
        <StepDetails
          key={`${step.path} ${step.attempt}`}
          execution={execution}
          step={step}
          definitions={steps}
        />
      ) : (
        <Message execution={execution} />
      )}
    </>
  );
}

/** The messages of the lab are only for authors. */
function LabLink({ href }: { href: string }) {
  const label = texts.executions.actions.openLab;
  return useAllows("author") ? (
    <a class="button" href={href}>
      {label}
    </a>
  ) : (
    <Button scope="author">{label}</Button>
  );
}

function Actions({ execution, steps, reload }: StepsProps & { reload: () => void }) {
  const words = texts.executions.actions;
  const { query } = useLocation();
  const [dialog, setDialog] = useState<"replay" | "cancel" | "discard" | "move" | "case" | null>(null);
  const ended = ENDED.includes(execution.state);
  const failed = execution.state === "failed";
  const params = { path: { execution_id: execution.id } };
  const close = () => {
    setDialog(null);
    reload();
  };
  const retry = async () => {
    await api.POST("/api/v1/executions/{execution_id}/retry", { params });
    showToast(words.retried);
    reload();
  };
  const release = async () => {
    await api.POST("/api/v1/executions/{execution_id}/release", { params });
    showToast(words.released);
    reload();
  };
  const more = [
    ...(ended
      ? [{ label: words.saveCase, scope: "author" as const, onSelect: () => setDialog("case") }]
      : []),
    ...(failed && !execution.discarded_at
      ? [{ label: words.discard, scope: "operate" as const, onSelect: () => setDialog("discard") }]
      : []),
    ...(failed ? [{ label: words.release, scope: "operate" as const, onSelect: release }] : []),
    ...(execution.state === "waiting"
      ? [{ label: words.move, scope: "operate" as const, onSelect: () => setDialog("move") }]
      : []),
  ];
  useCommands(
    useMemo(
      () => [
        ...(failed ? [{ id: "retry", title: words.retry, run: retry }] : []),
        { id: "replay", title: words.replay, run: () => setDialog("replay") },
        ...(ended ? [] : [{ id: "cancel", title: words.cancel, run: () => setDialog("cancel") }]),
        ...more.map((item) => ({ id: item.label, title: item.label, run: item.onSelect })),
      ],
      [execution.id, execution.state, execution.discarded_at],
    ),
  );
  const step = query.step ?? execution.error?.step ?? "";
  const lab = { tab: "lab", execution: execution.id, ...(step && { step }) };
  return (
    <>
      {ended && execution.started_at && <LabLink href={editorUrl(execution.flow_id, lab)} />}
      {failed && (
        <Button kind="primary" scope="operate" onClick={retry}>
          {words.retry}
        </Button>
      )}
      <Button scope="operate" onClick={() => setDialog("replay")}>
        {query.step ? words.replayFrom : words.replay}
      </Button>
      {!ended && (
        <Button kind="danger" scope="operate" onClick={() => setDialog("cancel")}>
          {words.cancel}
        </Button>
      )}
      {more.length > 0 && (
        <Menu label={words.more} items={more}>
          ···
        </Menu>
      )}
      {dialog === "replay" && (
        <ReplayDialog execution={execution} from={query.step ?? ""} definitions={steps} onClose={close} />
      )}
      {dialog === "discard" && <DiscardDialog execution={execution} onClose={close} />}
      {dialog === "move" && <MoveDialog execution={execution} onClose={close} />}
      {dialog === "case" && <CaseDialog execution={execution} onClose={close} />}
      {dialog === "cancel" && (
        <ActionDialog
          title={words.cancelTitle}
          action={words.cancelAction}
          kind="danger"
          onAction={() => api.POST("/api/v1/executions/{execution_id}/cancel", { params })}
          onClose={close}
        >
          <p>{words.cancelExplanation}</p>
        </ActionDialog>
      )}
    </>
  );
}
