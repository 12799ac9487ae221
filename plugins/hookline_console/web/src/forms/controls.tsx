import type { TargetedInputEvent } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { readablePaths, scopeAt } from "../code/paths";
import { idProblem, renameStep } from "../document/edits";
import { flowId } from "../document/flow_document";
import { inline, layout } from "../document/format";
import { parentOf, partsOf } from "../document/pointer";
import { memberOf, parse, scalarOf, type Tree, textOf, toJson, treeFrom } from "../document/tree";
import { pathIn } from "../lab/paths";
import { texts } from "../texts";
import { rowsOf } from "../ui/format";
import { type FormHost, useForm, type WriteOptions } from "./FormContext";
import type { Input } from "./fields";
import { MenuButton } from "./MenuButton";
import { useComplete, useTyped } from "./useTyped";
import { codeOf, isExpression, numberFrom, withCode } from "./values";

const words = texts.forms;
const SEARCH_MS = 250;

export interface ControlProps {
  /** The id of the control, which its label names. */
  id: string;
  label: string;
  pointer: string;
  value: Tree | undefined;
  placeholder: string;
  required: boolean;
  options: WriteOptions;
  /** Tells what is wrong with what is typed, as long as it isn't in the document. */
  describedBy: string;
}

type TextEvent = TargetedInputEvent<HTMLInputElement | HTMLTextAreaElement>;

/** A control for a text, a number, or JSON, which writes while somebody types. */
interface TypedProps extends ControlProps {
  shown: string;
  /** The value of a text; undefined if it is none. `null` removes the value. */
  read: (text: string) => Tree | undefined | null;
  /** What is wrong with a text that is no value. */
  problem: string;
  show?: (value: Tree) => string;
  /** The control: one line, several lines, or a list of names. */
  kind: "line" | "lines" | "number" | "json" | "names";
  /** True if it is one line, though its control could have several. */
  single?: boolean;
}

function Typed(props: TypedProps) {
  const { id, pointer, shown, read, placeholder, required, options, describedBy } = props;
  const { write } = useForm();
  const typed = useTyped(pointer, shown, (text) => {
    const value = read(text);
    if (value === undefined) return null;
    write(pointer, value ?? undefined, { ...options, typing: true });
    return value === null ? "" : (props.show?.(value) ?? text);
  });
  const shared = {
    id,
    value: typed.text,
    placeholder,
    required,
    spellcheck: false,
    autocomplete: "off",
    ...typed.mark,
    "aria-labelledby": `${id}-name`,
    "aria-describedby": describedBy,
    onInput: (event: TextEvent) => {
      const { value } = event.currentTarget;
      typed.type(props.single ? value.replaceAll("\n", " ") : value);
    },
  } as const;
  return (
    <>
      {props.kind === "lines" || props.kind === "json" ? (
        <textarea
          {...shared}
          rows={rowsOf(typed.text)}
          onKeyDown={(event) => props.single && event.key === "Enter" && event.preventDefault()}
        />
      ) : props.kind === "names" ? (
        <NamesInput {...shared} pointer={pointer} typed={typed.text} />
      ) : (
        <input {...shared} inputmode={props.kind === "number" ? "decimal" : "text"} />
      )}
      {typed.isInvalid && (
        <span class="field-problem" role="alert">
          {props.problem}
        </span>
      )}
    </>
  );
}

interface WrittenProps {
  control: ControlProps;
  input: Input & { kind: "text" | "expression" };
  inputs: readonly Input[];
}

/** A text or an expression. Both have one control, since what is typed may make the one of the other. */
export function Written({ control, input, inputs }: WrittenProps) {
  const { value, pointer, required, options, label } = control;
  const host = useForm();
  const text = inputs.find((each) => each.kind === "text");
  const language = input.kind === "expression" ? input.language : undefined;
  const code = (language && codeOf(value, language)) ?? textOf(value) ?? "";
  const read = (typed: string) => {
    const made = language && withCode(value, language, typed);
    if (made || !text) return made;
    return typed === "" && !text.empty && !required ? null : treeFrom(typed);
  };
  const insert = (keys: readonly string[]) => {
    if (!language) return;
    const path = pathIn(language, keys);
    const made = withCode(value, language, language === "jinja" ? `${code}{{ ${path} }}` : path);
    if (made) host.write(pointer, made, options);
  };
  const isLong = inputs.some(isExpression) || text?.long;
  return (
    <>
      <Typed
        {...control}
        shown={code}
        read={read}
        problem={language ? words.notExpression(words.kinds[language]) : ""}
        kind={isNamed(host, pointer) ? "names" : isLong ? "lines" : "line"}
        single={language === undefined && text?.long === false}
      />
      {language && <Paths label={label} onChoose={insert} />}
    </>
  );
}

export function NumberControl(props: ControlProps & { input: Input & { kind: "number" } }) {
  const shown = props.value?.kind === "scalar" ? props.value.json : "";
  return (
    <Typed
      {...props}
      shown={shown}
      read={(text) => (text === "" && !props.required ? null : numberFrom(text))}
      show={inline}
      problem={words.notNumber}
      kind="number"
    />
  );
}

export function JsonControl(props: ControlProps) {
  const { value } = props;
  return (
    <Typed
      {...props}
      shown={value ? layout(value, 0, 0) : ""}
      read={(text) => {
        const { tree, broken } = parse(text);
        return broken ? undefined : (tree ?? undefined);
      }}
      show={(tree) => layout(tree, 0, 0)}
      problem={words.notJson}
      kind="json"
    />
  );
}

/** The paths that an expression may read at the step, to put one in. */
function Paths({ label, onChoose }: { label: string; onChoose: (keys: readonly string[]) => void }) {
  const { snapshot, step } = useForm();
  const scope = step ? scopeAt(snapshot.document, snapshot.checked, step) : {};
  if (Object.keys(scope).length === 0) return null;
  return (
    <MenuButton
      label={words.insertPathInto(label)}
      items={() =>
        readablePaths(scope).map((keys) => ({ label: keys.join("."), onSelect: () => onChoose(keys) }))
      }
    >
      {words.insertPath}
    </MenuButton>
  );
}

export function BooleanControl(props: ControlProps) {
  const input: Input = { kind: "choice", options: [{ value: true }, { value: false }] };
  return <ChoiceControl {...props} input={input} />;
}

export function ChoiceControl(props: ControlProps & { input: Input & { kind: "choice" } }) {
  const { id, pointer, value, placeholder, options, describedBy } = props;
  const { write } = useForm();
  const present = value?.kind === "scalar" ? scalarOf(value) : undefined;
  const known = props.input.options.map((option) => option.value);
  const values = present === undefined || known.includes(present) ? known : [...known, present];
  return (
    <select
      id={id}
      value={String(values.indexOf(present))}
      aria-labelledby={`${id}-name`}
      aria-describedby={describedBy}
      onChange={(event) => write(pointer, treeFrom(values[Number(event.currentTarget.value)]), options)}
    >
      {present === undefined && (
        <option value="-1">{placeholder === "" ? words.notSet : words.byDefault(placeholder)}</option>
      )}
      {values.map((each, index) => (
        <option key={String(each)} value={index}>
          {words.values[String(each)] ?? String(each)}
        </option>
      ))}
    </select>
  );
}

/** The id of a step, which is changed in all expressions once it is complete. */
export function IdControl({ id, value, pointer, placeholder, describedBy }: ControlProps) {
  const { editing, step } = useForm();
  const shown = textOf(value) ?? "";
  const { control, problem } = useComplete(pointer, shown, (text) => {
    if (!step || text === shown) return undefined;
    const wrong = idProblem(editing.document, step.pointer, text);
    if (wrong) return texts.editor.rename[wrong];
    editing.apply(renameStep(editing.document, parentOf(pointer), text, editing.orders));
    return undefined;
  });
  return (
    <>
      <input
        {...control}
        id={id}
        placeholder={placeholder || step?.id}
        spellcheck={false}
        autocomplete="off"
        aria-invalid={problem !== undefined}
        aria-describedby={describedBy}
      />
      {problem && (
        <span class="field-problem" role="alert">
          {problem}
        </span>
      )}
    </>
  );
}

/** Whether the server has names for a text: of credentials, of flows, or those that a service offers. */
function isNamed({ step, offered }: FormHost, pointer: string): boolean {
  const parts = partsOf(pointer);
  const [around, name] = [parts.at(-2), parts.at(-1) ?? ""];
  if (name === "credential" || (parts.length === 1 && name === "on_error")) return true;
  if (around !== "with") return false;
  return offered.has(name) || (name === "id" && textOf(memberOf(step?.step, "use")) === "flow");
}

interface NamesProps {
  id: string;
  pointer: string;
  typed: string;
}

/** A text for which the server has names. They are loaded when it gets the focus, and any other may be typed. */
function NamesInput({ pointer, typed, ...shared }: NamesProps & Record<string, unknown>) {
  const list = useId();
  const { names, step, snapshot } = useForm();
  const [offered, setOffered] = useState<readonly { value: string; label: string }[]>([]);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const load = async () => {
    const component = step?.step ?? memberOf(snapshot.document.tree, "trigger");
    const settings = memberOf(component, "with");
    const found = await names.at({
      flowId: flowId(snapshot.document),
      pointer: partsOf(pointer),
      use: textOf(memberOf(component, "use")) ?? "",
      credential: textOf(memberOf(component, "credential")),
      settings: settings ? (toJson(settings) as Record<string, unknown>) : {},
      typed,
    });
    setOffered(found);
  };
  // A service that searches is asked once nothing has been typed for a moment.
  useEffect(() => {
    if (offered.length === 0) return;
    timer.current = setTimeout(load, SEARCH_MS);
    return () => clearTimeout(timer.current);
  }, [typed]);
  return (
    <>
      <input {...shared} list={list} onFocus={load} />
      <datalist id={list}>
        {offered.map(({ value, label }) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </datalist>
    </>
  );
}
