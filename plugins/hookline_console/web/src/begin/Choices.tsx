import { useId } from "preact/hooks";

export interface Choice {
  value: string;
  title: string;
  hint: string;
  /** Why it can't be chosen. */
  unavailable?: string | null;
}

interface ChoicesProps {
  label: string;
  choices: readonly Choice[];
  chosen: string;
  onChoose: (value: string) => void;
  /** Several beside one another, if there is room. */
  wide?: boolean;
}

/** A choice of one among several, each with a line that explains it. */
export function Choices({ label, choices, chosen, onChoose, wide }: ChoicesProps) {
  const name = useId();
  return (
    <fieldset class={`choices${wide ? " choices-wide" : ""}`}>
      <legend class="field-label">{label}</legend>
      {choices.map(({ value, title, hint, unavailable }) => (
        <label key={value} class="choice">
          <input
            type="radio"
            name={name}
            value={value}
            checked={value === chosen}
            disabled={Boolean(unavailable)}
            onChange={() => onChoose(value)}
          />
          <span class="choice-text">
            <span class="choice-title">{title}</span>
            <span class="choice-hint">{unavailable || hint}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}
