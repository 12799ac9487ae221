import "./field.css";
import { type ComponentChildren, cloneElement, type JSX } from "preact";
import { useId } from "preact/hooks";

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  problem?: string | undefined;
  /** The element of one control. It gets its name from the label around it, and its description from what follows. */
  children: JSX.Element;
}

/** A control with its label, a hint, and what is wrong with its value. */
export function Field({ label, hint, problem, children }: FieldProps) {
  const id = useId();
  const described = [problem && `${id}-problem`, hint && `${id}-hint`].filter(Boolean).join(" ");
  return (
    <div class="field">
      {/* biome-ignore lint/a11y/noLabelWithoutControl: the control is among the children */}
      <label class="field-control">
        <span class="field-label">{label}</span>
        {cloneElement(children, {
          "aria-describedby": described || undefined,
          "aria-invalid": problem ? true : undefined,
        })}
      </label>
      {problem && (
        <span id={`${id}-problem`} class="field-problem foreign" role="alert">
          {problem}
        </span>
      )}
      {hint && (
        <span id={`${id}-hint`} class="field-hint">
          {hint}
        </span>
      )}
    </div>
  );
}
