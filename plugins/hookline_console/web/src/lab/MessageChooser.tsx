import type { ComponentChildren } from "preact";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { formatTime, shortId } from "../ui/format";
import { describeProblem } from "../ui/problems";
import type { Choice, MessageKind, Messages } from "./messages";
import type { Message } from "./useMessage";

const words = texts.lab.message;

/** The choice of the message on which a document is tried. */
export function MessageChooser({ message }: { message: Message }) {
  const { messages, choice, choose, given } = message;
  const loaded = messages.value;
  const failed = [messages, given].find(({ error }) => error !== undefined);
  const failure = failed && <Failure error={failed.error} retry={failed.reload} />;
  if (!loaded) return failure ?? <span class="muted">{texts.common.loading}</span>;
  const groups = groupsOf(loaded, choice);
  if (groups.every(({ options }) => options.length === 0))
    return failure ?? <span class="muted">{words.none}</span>;
  return (
    <>
      <label class="lab-message">
        <span class="muted">{words.label}</span>
        <select
          class="input"
          value={choice ? `${choice.kind} ${choice.id}` : ""}
          onChange={(event) => {
            const [kind = "", ...id] = event.currentTarget.value.split(" ");
            choose({ kind: kind as MessageKind, id: id.join(" ") });
          }}
        >
          {groups.map(({ kind, options }) => (
            <Group key={kind} kind={kind}>
              {options.map(({ id, title }) => (
                <option key={id} value={`${kind} ${id}`}>
                  {title}
                </option>
              ))}
            </Group>
          ))}
        </select>
      </label>
      {failure}
    </>
  );
}

function Failure({ error, retry }: { error: unknown; retry: () => void }) {
  return (
    <span class="cluster" role="alert">
      <span class="field-problem foreign">{describeProblem(error).detail}</span>
      <Button small onClick={retry}>
        {texts.common.tryAgain}
      </Button>
    </span>
  );
}

function Group({ kind, children }: { kind: MessageKind; children: readonly ComponentChildren[] }) {
  return children.length === 0 ? null : <optgroup label={words.kinds[kind]}>{children}</optgroup>;
}

interface Group {
  kind: MessageKind;
  options: { id: string; title: string }[];
}

function groupsOf({ executions, requests, cases }: Messages, choice: Choice | null): Group[] {
  const groups: Group[] = [
    {
      kind: "execution",
      options: executions.map(({ id, state, created_at }) => ({
        id,
        title: words.execution(stateName(state), timeOf(created_at), shortId(id)),
      })),
    },
    {
      kind: "request",
      options: requests.map(({ id, method, at }) => ({ id, title: words.request(method, timeOf(at)) })),
    },
    { kind: "case", options: [...cases.keys()].map((name) => ({ id: name, title: name })) },
  ];
  // An older one, which the list doesn't have.
  const own = groups.find(({ kind }) => kind === choice?.kind);
  if (own && choice && !own.options.some(({ id }) => id === choice.id))
    own.options.unshift({ id: choice.id, title: words.older(shortId(choice.id)) });
  return groups;
}

function timeOf(at: string): string {
  return formatTime(new Date(at), new Date());
}

function stateName(state: string): string {
  const names: Readonly<Record<string, string>> = texts.states;
  return names[state] ?? state;
}
