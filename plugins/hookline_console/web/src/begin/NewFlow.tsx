import "./begin.css";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { editorUrl } from "../editor/editor_url";
import { captureUrl, openCapture } from "../inspector/useCaptures";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Field } from "../ui/Field";
import { Loaded } from "../ui/Notices";
import { Page } from "../ui/Page";
import { showProblem } from "../ui/toasts";
import { EXAMPLES, flowFromExample, flowFromTrigger, triggersOf } from "./beginnings";
import { Choices } from "./Choices";
import { useBegin } from "./useBegin";

const words = texts.begin;
const ID = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const STARTS = ["nothing", "request", "trigger", "example"] as const;

type Start = (typeof STARTS)[number];
type Component = Schemas["ComponentView"];

/** What is chosen for a new flow. */
interface Chosen {
  start: Start;
  trigger: Component | null;
  /** The title of the example. */
  example: string;
}

const AT_FIRST: Chosen = { start: "nothing", trigger: null, example: EXAMPLES[0]?.title ?? "" };

/** The page on which a flow begins: its name, which is also its URL, and what it is made from. */
export function NewFlow() {
  const [id, setId] = useState("");
  const [touched, setTouched] = useState(false);
  const [chosen, setChosen] = useState(AT_FIRST);
  const { create, question } = useCreate();
  const isValid = ID.test(id) && id.length <= 100;
  const lacksTrigger = chosen.start === "trigger" && chosen.trigger === null;
  const submit = (event: Event) => {
    event.preventDefault();
    setTouched(true);
    if (isValid && !lacksTrigger) create(id, chosen).catch(showProblem);
  };
  return (
    <Page title={words.title} parent={{ title: texts.pages.flows, href: "/flows" }}>
      <form class="card stack new-flow" onSubmit={submit}>
        <Field label={words.id} hint={words.hint} problem={touched && !isValid ? words.invalid : undefined}>
          <input
            name="id"
            value={id}
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => setId(event.currentTarget.value.trim())}
          />
        </Field>
        <Starts chosen={chosen} onChoose={(changes) => setChosen({ ...chosen, ...changes })} />
        {touched && lacksTrigger && (
          <p class="field-problem" role="alert">
            {words.noTrigger}
          </p>
        )}
        <div>
          <Button kind="primary" type="submit" scope="author">
            {chosen.start === "request" ? words.wait : words.action}
          </Button>
        </div>
      </form>
      {question}
    </Page>
  );
}

/** The function that creates what is chosen, and leads to where it goes on. */
function useCreate() {
  const { begin, question } = useBegin();
  const { route } = useLocation();
  const create = async (id: string, { start, trigger, example }: Chosen) => {
    if (start === "nothing") route(editorUrl(id));
    if (start === "trigger" && trigger) await begin(id, () => flowFromTrigger(id, trigger));
    if (start === "example") await begin(id, () => flowFromExample(id, example));
    if (start === "request") {
      await openCapture(id);
      route(captureUrl(id));
    }
  };
  return { create, question };
}

interface StartsProps {
  chosen: Chosen;
  onChoose: (changes: Partial<Chosen>) => void;
}

function Starts({ chosen, onChoose }: StartsProps) {
  return (
    <>
      <Choices
        wide
        label={words.start}
        choices={STARTS.map((value) => ({ value, ...words.starts[value] }))}
        chosen={chosen.start}
        onChoose={(start) => onChoose({ start: start as Start })}
      />
      {chosen.start === "trigger" && (
        <Triggers chosen={chosen.trigger} onChoose={(trigger) => onChoose({ trigger })} />
      )}
      {chosen.start === "example" && (
        <Choices
          label={words.examples}
          choices={EXAMPLES.map(({ title, about }) => ({ value: title, title, hint: about }))}
          chosen={chosen.example}
          onChoose={(example) => onChoose({ example })}
        />
      )}
    </>
  );
}

interface TriggersProps {
  chosen: Component | null;
  onChoose: (trigger: Component) => void;
}

function Triggers({ chosen, onChoose }: TriggersProps) {
  const components = useResource((signal) => body(api.GET("/api/v1/components", { signal })), []);
  return (
    <Loaded resource={components} lines={8}>
      {({ items }) => {
        const triggers = triggersOf(items);
        return (
          <Choices
            label={words.triggers}
            choices={triggers.map(({ name, title, unavailable }) => ({
              value: name,
              title: name,
              hint: title,
              unavailable,
            }))}
            chosen={chosen?.name ?? ""}
            onChoose={(name) => {
              const found = triggers.find((one) => one.name === name);
              if (found) onChoose(found);
            }}
          />
        );
      }}
    </Loaded>
  );
}
