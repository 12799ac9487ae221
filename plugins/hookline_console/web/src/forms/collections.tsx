import type { ComponentType } from "preact";
import { renameMember } from "../document/edits";
import { stepAt } from "../document/flow_document";
import { escapePointer, parentOf } from "../document/pointer";
import type { Tree } from "../document/tree";
import { texts } from "../texts";
import type { ControlProps } from "./controls";
import { useForm } from "./FormContext";
import { type Input, inputsOf } from "./fields";
import { useComplete } from "./useTyped";
import type { ValueFieldProps } from "./ValueField";
import { firstValue } from "./values";
import { addItem, focusAfterRemoval, freeName, moveItem } from "./writing";

const words = texts.forms;

type FieldComponent = ComponentType<ValueFieldProps>;

interface ListProps {
  input: Input & { kind: "list" };
  control: ControlProps;
  Field: FieldComponent;
}

/** The items of a list, each with its field. */
export function ListItems({ input, control, Field }: ListProps) {
  const { editing, definitions, focus } = useForm();
  const { value, pointer, label } = control;
  const items = value?.kind === "list" ? value.items : [];
  const inputs = inputsOf(input.items, definitions);
  const add = () => {
    focus.current = `${pointer}/${items.length}`;
    editing.apply(addItem(editing.document, pointer, firstValue(inputs, definitions), editing.orders));
  };
  return (
    <>
      {items.map((item, index) => (
        <Field
          key={index}
          label={words.item(index + 1)}
          pointer={`${pointer}/${index}`}
          value={item}
          inputs={inputs}
          next={focusAfterRemoval(value, `${pointer}/${index}`)}
          tools={<ItemTools pointer={`${pointer}/${index}`} index={index} count={items.length} />}
        />
      ))}
      <button type="button" class="button button-small form-more" onClick={add}>
        {words.addItem(label)}
      </button>
    </>
  );
}

function ItemTools({ pointer, index, count }: { pointer: string; index: number; count: number }) {
  const { editing, focus } = useForm();
  const move = (by: number) => {
    focus.current = `${parentOf(pointer)}/${index + by}`;
    editing.apply(moveItem(editing.document, pointer, by, editing.orders));
  };
  const button = (by: number, sign: string, label: string) => (
    <button
      type="button"
      class="button button-small button-quiet"
      aria-label={label}
      title={label}
      disabled={index + by < 0 || index + by >= count}
      onClick={() => move(by)}
    >
      {sign}
    </button>
  );
  if (count < 2) return null;
  return (
    <>
      {button(-1, "↑", words.up(words.item(index + 1)))}
      {button(1, "↓", words.down(words.item(index + 1)))}
    </>
  );
}

interface MapProps {
  input: Input & { kind: "map" };
  control: ControlProps;
  Field: FieldComponent;
}

/** The members of an object whose names are free, each with its name and its field. */
export function MapEntries({ input, control, Field }: MapProps) {
  const { write, definitions, focus } = useForm();
  const { value, pointer, label } = control;
  const members = value?.kind === "object" ? value.members : [];
  const inputs = inputsOf(input.values, definitions);
  const add = () => {
    const name = freeName(value, "name");
    focus.current = nameOf(`${pointer}/${name}`);
    write(`${pointer}/${name}`, firstValue(inputs, definitions));
  };
  return (
    <>
      {members.map(({ name, value: inner }, index) => (
        <Field
          // Its place, so that a name can be changed without losing the focus.
          key={index}
          label={name}
          pointer={`${pointer}/${escapePointer(name)}`}
          value={inner}
          inputs={inputs}
          next={focusAfterRemoval(value, `${pointer}/${escapePointer(name)}`)}
          head={<EntryName name={name} pointer={`${pointer}/${escapePointer(name)}`} siblings={value} />}
        />
      ))}
      <button type="button" class="button button-small form-more" onClick={add}>
        {words.addEntry(label)}
      </button>
    </>
  );
}

/** The place of the name of an entry, which gets the focus by it. */
const nameOf = (pointer: string) => `${pointer} name`;

function EntryName({
  name,
  pointer,
  siblings,
}: {
  name: string;
  pointer: string;
  siblings: Tree | undefined;
}) {
  const { editing, focus } = useForm();
  const { control } = useComplete(nameOf(pointer), name, (text) => {
    if (text === name || text === "") return undefined;
    const free = freeName(siblings, text);
    editing.apply(renameMember(editing.document, pointer, free, editing.orders));
    return undefined;
  });
  return (
    <input
      {...control}
      class="form-name"
      ref={(element) => {
        if (!element || focus.current !== nameOf(pointer)) return;
        focus.current = null;
        element.focus();
        element.select();
      }}
      aria-label={words.nameOf(name)}
      spellcheck={false}
      autocomplete="off"
    />
  );
}

/** The steps of a list, which lead to their forms, and the button that adds one. */
export function StepLinks({ control: { value, pointer } }: { control: ControlProps }) {
  const { editing, snapshot, onAdd } = useForm();
  const steps = value?.kind === "list" ? value.items : [];
  return (
    <div class="form-steps">
      {steps.map((_, index) => {
        const step = stepAt(snapshot.document, `${pointer}/${index}`);
        return step ? (
          <button
            key={step.pointer}
            type="button"
            class="button button-small foreign"
            onClick={() => editing.reveal(step.pointer)}
          >
            {step.id}
          </button>
        ) : null;
      })}
      <button
        type="button"
        class="button button-small"
        onClick={() => onAdd({ list: pointer, index: steps.length })}
      >
        {words.addStep}
      </button>
    </div>
  );
}
