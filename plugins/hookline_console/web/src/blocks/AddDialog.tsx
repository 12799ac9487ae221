import "./blocks.css";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Place } from "../document/edits";
import type { FlowDocument } from "../document/flow_document";
import type { Definitions } from "../forms/schema";
import { matchCommands } from "../shell/commands";
import { texts } from "../texts";
import { Dialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { Prose } from "../ui/Prose";
import { type Choice, choicesAt, type Spot } from "./inserting";

const words = texts.blocks;

interface AddDialogProps {
  document: FlowDocument;
  spots: readonly Spot[];
  /** The index of the spot that is chosen at first. */
  chosen: number;
  definitions: Definitions;
  onAdd: (place: Place, choice: Choice) => void;
  onClose: () => void;
}

/** The blocks and actions that fit at a place, with a search. */
export function AddDialog({ document, spots, chosen, definitions, onAdd, onClose }: AddDialogProps) {
  const [spotIndex, setSpot] = useState(chosen);
  const [text, setText] = useState("");
  const [active, setActive] = useState(0);
  const spot = spots[spotIndex];
  const choices = spot ? choicesAt(document, spot.place, definitions) : [];
  const found = matching(choices, text);
  const add = (choice: Choice | undefined) => {
    if (choice && spot) onAdd(spot.place, choice);
  };
  return (
    <Dialog title={words.add} onClose={onClose}>
      {spots.length > 1 && (
        <Field label={words.where}>
          <select
            value={spotIndex}
            onChange={(event) => {
              setSpot(Number(event.currentTarget.value));
              setActive(0);
            }}
          >
            {spots.map((each, index) => (
              <option key={index} value={index}>
                {words.spots[each.kind](each.name)}
              </option>
            ))}
          </select>
        </Field>
      )}
      <Chooser
        choices={found}
        text={text}
        onText={setText}
        active={active}
        onActive={setActive}
        onChoose={add}
      />
      {found.length === 0 && <p class="muted">{choices.length === 0 ? words.nothingFits : words.noMatch}</p>}
    </Dialog>
  );
}

/** The choices with all the words of a text, in their names or in what they do. */
function matching(choices: readonly Choice[], text: string): Choice[] {
  const commands = choices.map((choice) => ({
    id: choice.name,
    title: `${choice.name} ${words.names[choice.name] ?? ""} ${choice.description}`,
  }));
  const found = matchCommands(commands, text, choices.length);
  const byName = new Map(choices.map((choice) => [choice.name, choice]));
  return found.flatMap(({ id }) => byName.get(id) ?? []);
}

interface ChooserProps {
  choices: readonly Choice[];
  text: string;
  onText: (text: string) => void;
  /** The index of the choice that Enter adds. */
  active: number;
  onActive: (index: number) => void;
  onChoose: (choice: Choice | undefined) => void;
}

/** A search and its results. The arrow keys choose, and Enter adds. */
function Chooser({ choices, text, onText, active, onActive, onChoose }: ChooserProps) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  useEffect(() => list.current?.children[active]?.scrollIntoView({ block: "nearest" }), [active]);
  const press = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter") onChoose(choices[active]);
    else if (step && choices.length > 0) onActive((active + step + choices.length) % choices.length);
    else return;
    event.preventDefault();
  };
  return (
    <>
      <input
        ref={input}
        class="input"
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls={id}
        aria-activedescendant={choices.length > 0 ? `${id}-${active}` : undefined}
        aria-label={words.search}
        placeholder={words.search}
        spellcheck={false}
        value={text}
        onInput={(event) => {
          onText(event.currentTarget.value);
          onActive(0);
        }}
        onKeyDown={press}
      />
      <div ref={list} id={id} class="add-list" role="listbox" aria-label={words.fitting} tabIndex={-1}>
        {choices.map((choice, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are those of the input
          // biome-ignore lint/a11y/useFocusableInteractive: the focus stays in the input
          <div
            key={choice.name}
            id={`${id}-${index}`}
            class="add-item"
            role="option"
            aria-selected={index === active}
            onClick={() => onChoose(choice)}
            onMouseMove={() => onActive(index)}
          >
            <strong class="foreign">{words.names[choice.name] ?? choice.name}</strong>
            <span class="add-about">
              <Prose text={choice.description} />
            </span>
          </div>
        ))}
      </div>
    </>
  );
}
