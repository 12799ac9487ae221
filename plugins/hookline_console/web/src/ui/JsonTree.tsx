import "./json_tree.css";

export interface JsonTreeProps {
  /** What it shows, for screen readers. */
  label: string;
  value: unknown;
}

/** A JSON value. */
export function JsonTree({ label, value }: JsonTreeProps) {
  return (
    <section class="json-tree" aria-label={label}>
      <pre class="foreign">{JSON.stringify(value, null, 2)}</pre>
    </section>
  );
}
