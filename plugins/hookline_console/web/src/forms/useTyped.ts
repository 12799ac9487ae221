import type { TargetedEvent, TargetedInputEvent } from "preact";
import { useState } from "preact/hooks";

/**
 * A text that is being typed, of a value that is shown as a text. While what is typed can't be written, it stays in the
 * field, until the document has another value.
 *
 * `write` returns how the written value is shown; null if it can't be written.
 */
export function useTyped(shown: string, write: (text: string) => string | null) {
  const [typed, setTyped] = useState<{ text: string; shown: string } | null>(null);
  const isTyped = typed !== null && typed.shown === shown;
  const [refused, setRefused] = useState(false);
  const type = (text: string) => {
    const written = write(text);
    setRefused(written === null);
    setTyped({ text, shown: written ?? shown });
  };
  return { text: isTyped ? typed.text : shown, refused: isTyped && refused, type };
}

/**
 * A text that is written once it is complete: when Enter is pressed, or the field is left.
 *
 * `write` returns what is wrong with a text, which then stays in the field; undefined once it is written or given up.
 */
export function useComplete(shown: string, write: (text: string) => string | undefined) {
  const [typed, setTyped] = useState<{ text: string; shown: string; problem?: string } | null>(null);
  const own = typed?.shown === shown ? typed : null;
  return {
    problem: own?.problem,
    control: {
      value: own?.text ?? shown,
      onInput: ({ currentTarget }: TargetedInputEvent<HTMLInputElement>) =>
        setTyped({ text: currentTarget.value, shown }),
      onChange: ({ currentTarget }: TargetedEvent<HTMLInputElement>) => {
        const { value: text } = currentTarget;
        const problem = write(text);
        setTyped(problem === undefined ? null : { text, shown, problem });
      },
    },
  };
}
