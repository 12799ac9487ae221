import "./field.css";
import type { ComponentChildren } from "preact";

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  problem?: string | undefined;
  /** One control: it gets its name from the label around it. */
  children: ComponentChildren;
}

/** A control with its label, a hint, and what is wrong with its value. */
export function Field({ label, hint, problem, children }: FieldProps) {
  return (
    <div class="field">
      {/* biome-ignore lint/a11y/noLabelWithoutControl: the control is among the children */}
      <label class="field-control">
        <span class="field-label">{label}</span>
        {children}
      </label>
      {problem && (
        <span class="field-problem foreign" role="alert">
          {problem}
        </span>
      )}
      {hint && <span class="field-hint">{hint}</span>}
    </div>
  );
}
