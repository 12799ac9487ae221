import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef } from "preact/hooks";
import { escapePointer } from "../document/pointer";
import { memberOf, scalarOf, type Tree } from "../document/tree";
import { texts } from "../texts";
import { Prose } from "../ui/Prose";
import { ListItems, MapEntries, StepLinks } from "./collections";
import {
  BooleanControl,
  ChoiceControl,
  type ControlProps,
  IdControl,
  JsonControl,
  NumberControl,
  Written,
} from "./controls";
import { problemsAt, useForm } from "./FormContext";
import { type Field, fieldsOf, type Input } from "./fields";
import { MenuButton } from "./MenuButton";
import { More, useShown } from "./More";
import { isEvaluated, literalInputs } from "./places";
import type { Schema } from "./schema";
import { begin, inputFor, isExpression, wrapped } from "./values";

const words = texts.forms;

export interface ValueFieldProps {
  label: string;
  description?: string;
  pointer: string;
  value: Tree | undefined;
  inputs: readonly Input[];
  placeholder?: string;
  required?: boolean;
  excludes?: readonly string[];
  /** Shown in the place of the label, such as the name of an entry. */
  head?: ComponentChildren;
  /** The pointer of the field that gets the focus once it is removed, if it isn't shown then. */
  next?: string;
  /** Buttons beside it, such as those that move an item. */
  tools?: ComponentChildren;
}

/** A value of a form: its label, the way in which it is given, its control, its problems and what it means. */
export function ValueField(props: ValueFieldProps) {
  const { label, pointer, value, inputs, placeholder = "", required = false, excludes = [] } = props;
  const id = useId();
  const element = useFocusOf(pointer);
  const input = value ? inputFor(inputs, value) : inputs.find(isTyped);
  const isGroup = input !== undefined && GROUPS.has(input.kind);
  const control: ControlProps = {
    ...{ id, label, pointer, value, placeholder, required },
    options: { excludes },
    describedBy: `${id}-about`,
  };
  return (
    <div
      class={`form-field field${isGroup ? " form-group" : ""}`}
      ref={element}
      {...(isGroup && { role: "group", "aria-labelledby": `${id}-name` })}
    >
      <div class="form-head">
        <Name {...props} id={id} isGroup={isGroup || !input} />
        <Ways {...props} input={input} />
        {value && !required && <Remove label={label} pointer={pointer} next={props.next ?? pointer} />}
        {props.tools}
      </div>
      <div class="form-control" data-control>
        {input && <Control input={input} inputs={inputs} control={control} />}
      </div>
      <About
        id={`${id}-about`}
        pointer={pointer}
        isGroup={isGroup}
        description={optionDescription(input, value) ?? props.description}
      />
    </div>
  );
}

/** The element of a field, whose control gets the focus if it is to. */
function useFocusOf(pointer: string) {
  const { focus } = useForm();
  const element = useRef<HTMLDivElement>(null);
  const isNext = useRef(false);
  useLayoutEffect(() => {
    if (focus.current !== pointer) return;
    focus.current = null;
    isNext.current = true;
  });
  // After drawing, since a menu that closes gives the focus back before that.
  useEffect(() => {
    if (!isNext.current) return;
    isNext.current = false;
    const find = (selector: string) => element.current?.querySelector<HTMLElement>(selector);
    // A group that isn't set has no control, but a button that sets it.
    const control = find("[data-control] :is(input, select, textarea, button)") ?? find("button");
    control?.focus();
  });
  return element;
}

type NameProps = Pick<ValueFieldProps, "label" | "required" | "head"> & { id: string; isGroup: boolean };

function Name({ label, required, head, id, isGroup }: NameProps) {
  if (head) {
    return (
      <>
        {head}
        <span id={`${id}-name`} class="sr-only">
          {label}
        </span>
      </>
    );
  }
  const text = required ? words.required(label) : label;
  return isGroup ? (
    <span class="field-label" id={`${id}-name`}>
      {text}
    </span>
  ) : (
    <label class="field-label" id={`${id}-name`} for={id}>
      {text}
    </label>
  );
}

interface AboutProps {
  id: string;
  pointer: string;
  isGroup: boolean;
  description: string | undefined;
}

/** The problems of a value, and what it means. Those of what is in a group are shown there. */
function About({ id, pointer, isGroup, description }: AboutProps) {
  const problems = problemsAt(useForm(), pointer, { inside: !isGroup });
  return (
    <div id={id} class="form-about">
      {problems.map((problem) => (
        <span key={`${problem.code} ${problem.message}`} class="field-problem foreign">
          {problem.message} {problem.remedy}
        </span>
      ))}
      {description && (
        <span class="field-hint">
          <Prose text={description} />
        </span>
      )}
    </div>
  );
}

/** What the chosen option means, such as what an action does. */
function optionDescription(input: Input | undefined, value: Tree | undefined): string | undefined {
  if (input?.kind !== "choice" || value?.kind !== "scalar") return undefined;
  const chosen = scalarOf(value);
  return input.options.find((option) => option.value === chosen)?.description;
}

const GROUPS: ReadonlySet<Input["kind"]> = new Set(["list", "map", "object", "steps", "literal"]);
const TYPED: ReadonlySet<Input["kind"]> = new Set(["text", "number", "boolean", "choice"]);

/** Whether an input shows a control also while there is no value. */
function isTyped({ kind }: Input): boolean {
  return TYPED.has(kind);
}

/** The name of a way in which a value is given. */
export function wayOf(input: Input): keyof typeof words.kinds {
  return input.kind === "expression" ? input.language : input.kind;
}

/** The choice between a value and an expression, and between the kinds of both; a button if there is only one. */
function Ways({
  label,
  pointer,
  value,
  inputs,
  excludes = [],
  input,
}: ValueFieldProps & { input: Input | undefined }) {
  const { write, definitions, focus } = useForm();
  const isOffered = (each: Input) => each === input || !(each.kind === "number" && each.rare);
  const offered = inputs.filter(isOffered);
  const choose = (chosen: Input) => {
    if (chosen === input) return;
    focus.current = pointer;
    write(pointer, begin(chosen, value, inputs, definitions), { excludes });
  };
  const only = offered[0];
  if (offered.length === 1 && only && !value && !isTyped(only)) {
    return (
      <button type="button" class="button button-small" onClick={() => choose(only)}>
        {words.set(label)}
      </button>
    );
  }
  if (offered.length < 2 && input?.kind !== "json") return null;
  const kind = input ? words.kinds[wayOf(input)] : words.notSet;
  return (
    <MenuButton
      label={words.wayOf(label, kind)}
      items={() =>
        [...offered.filter((each) => !isExpression(each)), ...offered.filter(isExpression)].map((each) => ({
          label:
            each.kind === "expression"
              ? words.expression(words.kinds[each.language])
              : words.kinds[wayOf(each)],
          onSelect: () => choose(each),
        }))
      }
    >
      {kind}
    </MenuButton>
  );
}

/** `next`: the pointer of the field that gets the focus then. */
function Remove({ label, pointer, next }: { label: string; pointer: string; next: string }) {
  const { write, focus } = useForm();
  const remove = () => {
    focus.current = next;
    write(pointer, undefined);
  };
  return (
    <button
      type="button"
      class="button button-small button-quiet"
      aria-label={words.remove(label)}
      title={words.remove(label)}
      onClick={remove}
    >
      ×
    </button>
  );
}

/** The control of a value. A text and an expression have the same one, so that what is typed may become the other. */
function Control({
  input,
  inputs,
  control,
}: {
  input: Input;
  inputs: readonly Input[];
  control: ControlProps;
}) {
  const { step, definitions } = useForm();
  const { value, pointer } = control;
  if (step && pointer === `${step.pointer}/id`) return <IdControl {...control} />;
  switch (input.kind) {
    case "text":
    case "expression":
      return <Text input={input} inputs={inputs} control={control} />;
    case "number":
      return <NumberControl {...control} input={input} />;
    case "boolean":
      return <BooleanControl {...control} />;
    case "choice":
      return <ChoiceControl {...control} input={input} />;
    case "null":
      return <p class="field-hint">{words.null}</p>;
    case "literal":
      return (
        <ValueField
          label={words.literalValue}
          pointer={`${pointer}/literal`}
          value={memberOf(value, "literal")}
          inputs={literalInputs(definitions)}
          required
        />
      );
    case "list":
      return <ListItems input={input} control={control} Field={ValueField} />;
    case "map":
      return <MapEntries input={input} control={control} Field={ValueField} />;
    case "object":
      return <ObjectFields schema={input.schema} value={value} pointer={pointer} />;
    case "steps":
      return <StepLinks control={control} />;
    default:
      return <JsonControl {...control} />;
  }
}

/** A text or an expression, and the value in the place of one that is missing. */
function Text(props: Parameters<typeof Written>[0]) {
  const { definitions } = useForm();
  const { input, control } = props;
  const { value, pointer } = control;
  return (
    <>
      <Written {...props} />
      {input.kind === "expression" && wrapped(value, input.language) && (
        <ValueField
          label={words.ifMissing}
          pointer={`${pointer}/default`}
          value={memberOf(value, "default")}
          inputs={literalInputs(definitions)}
        />
      )}
    </>
  );
}

interface ObjectFieldsProps {
  schema: Schema;
  value: Tree | undefined;
  pointer: string;
}

/** The fields of an object: those that are there or have to be, and the others on request. */
export function ObjectFields({ schema, value, pointer }: ObjectFieldsProps) {
  const { definitions } = useForm();
  const fields = fieldsOf(schema, value, definitions, { evaluated: isEvaluated(pointer) });
  const { shown, more, isOpen, toggle } = useShown(fields, value);
  return (
    <div class="form-fields">
      {shown.map((field) => (
        <Member key={field.name} field={field} around={value} pointer={pointer} />
      ))}
      <More count={more} isOpen={isOpen} onToggle={toggle} />
    </div>
  );
}

function Member({ field, around, pointer }: { field: Field; around: Tree | undefined; pointer: string }) {
  const { name, known, ...rest } = field;
  return (
    <ValueField
      {...rest}
      description={known ? rest.description : words.unknown}
      pointer={`${pointer}/${escapePointer(name)}`}
      value={memberOf(around, name)}
    />
  );
}
