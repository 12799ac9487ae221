import { useMemo } from "preact/hooks";
import { fromValue, path } from "../json/json";
import { Tree } from "../json/Tree";

export interface JsonTreeProps {
  /** What it shows, for screen readers. */
  label: string;
  value: unknown;
  /** What the paths of its values begin with, such as `$.body`. */
  root?: string;
}

/** A JSON value of the API. Values of executions, which may be large or have long numbers, have a `Tree`. */
export function JsonTree({ label, value, root = "$" }: JsonTreeProps) {
  const text = JSON.stringify(value);
  const json = useMemo(() => fromValue(value), [text]);
  return <Tree key={text} label={label} json={json} pathOf={(keys) => path(root, keys)} />;
}
