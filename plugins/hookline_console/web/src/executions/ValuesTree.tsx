import { useRef, useState } from "preact/hooks";
import { useResource } from "../api/resource";
import { type Key, path } from "../json/json";
import { Tree } from "../json/Tree";
import type { Cut, Row } from "../json/tree";
import { texts } from "../texts";
import { Empty, Loaded } from "../ui/Notices";
import { Provenance } from "./Provenance";
import { downloadUrl, type Extended, extended, isEmpty, loadValues, type Place, partOf } from "./values";

/** Load the values at a place, and what follows in them on demand. `turn` changes when they have changed. */
export function useValues(place: Place, turn: unknown) {
  const resource = useResource((signal) => loadValues(place, undefined, signal), [place, turn]);
  const [more, setMore] = useState<Extended | null>(null);
  const latest = useRef(resource.value);
  latest.current = resource.value;
  const fetchMore = async (cut: Cut) => {
    const loaded = resource.value;
    if (loaded === undefined) return;
    const rest = await loadValues(place, cut);
    if (latest.current === loaded) setMore((before) => extended(before, loaded, cut, rest));
  };
  const values = more?.loaded === resource.value ? more?.values : resource.value;
  return { resource: { ...resource, value: values }, fetchMore };
}

interface ValuesTreeProps {
  label: string;
  place: Place;
  /** Changes when the values have changed. */
  turn: unknown;
  /** The part to show, such as `output`. */
  part: string;
  /** The path of the part in expressions; null if they can't name it. */
  root: string | null;
  /** The field for which the provenance of a value is asked; undefined if it has none. */
  fieldOf?: (keys: readonly Key[]) => string | undefined;
  /** The expression of the flow at a place of the part. */
  expressionOf?: (keys: readonly Key[]) => string | undefined;
  empty: string;
}

/** A part of the values of an execution, as a tree. A chosen value says where it comes from. */
export function ValuesTree({
  label,
  place,
  turn,
  part,
  root,
  fieldOf,
  expressionOf,
  empty,
}: ValuesTreeProps) {
  const { resource, fetchMore } = useValues(place, turn);
  const words = texts.executions.values;
  const about = (row: Row) => {
    const expression = expressionOf?.(row.keys);
    const field = fieldOf?.(row.keys);
    return (
      <>
        {expression !== undefined && (
          <p>
            <span class="muted">{words.expression} </span>
            <code class="foreign">{expression}</code>
          </p>
        )}
        {field !== undefined && <Provenance key={field} execution={place.execution} field={field} />}
      </>
    );
  };
  return (
    <Loaded resource={resource} lines={5}>
      {(values) => {
        const { json, cuts } = partOf(values, part);
        if (isEmpty(json)) return <Empty title={empty} />;
        return (
          <Tree
            key={part}
            label={label}
            json={json}
            cuts={cuts}
            fetchMore={(cut) => fetchMore({ ...cut, pointer: `/${part}${cut.pointer}` })}
            downloadOf={(pointer) => downloadUrl(place, `/${part}${pointer}`)}
            pathOf={(keys) => path(root ?? "$", keys)}
            about={about}
          />
        );
      }}
    </Loaded>
  );
}
