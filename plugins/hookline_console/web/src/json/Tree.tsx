import "./tree.css";
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { partsOf } from "../document/pointer";
import { texts } from "../texts";
import { Copy } from "../ui/Copy";
import { formatNumber } from "../ui/format";
import { Twist } from "../ui/Twist";
import { showProblem } from "../ui/toasts";
import { useFixedRows } from "../ui/useFixedRows";
import { at, children, type Json, type Key, NULL, print } from "./json";
import { Text } from "./Text";
import { around, type Cut, move, opened, PAGE, type Row, scalar, search, tree } from "./tree";

export interface TreeProps {
  /** What it shows, for screen readers. */
  label: string;
  json: Json;
  cuts?: readonly Cut[] | undefined;
  /** Fetch what the server left out after the part of a cut that it sent. */
  fetchMore?: ((cut: Cut) => Promise<void>) | undefined;
  /** The address of the whole value at a pointer, to save it as a file. */
  downloadOf?: ((pointer: string) => string) | undefined;
  /** The path of a value, as expressions write it. */
  pathOf: (keys: readonly Key[]) => string;
  /** More about the value that is chosen. */
  about?: ((row: Row) => ComponentChildren) | undefined;
  /** Called when a value is chosen. */
  onChoose?: ((row: Row) => void) | undefined;
  /** Beside the search. */
  beside?: ComponentChildren;
}

const ROW_REM = 1.625;
/** Characters of a text that are shown in its row. */
const ROW_TEXT = 300;

/**
 * A JSON value as a folding tree, with a search. Only the rows in view are in the document.
 *
 * It keeps the state of one value: give each value a key of its own.
 */
export function Tree(props: TreeProps) {
  const { label, json, cuts = [], fetchMore } = props;
  const id = useId();
  const [open, setOpen] = useState<ReadonlySet<string>>(() => opened(json));
  const [shown, setShown] = useState<ReadonlyMap<string, number>>(new Map());
  const [active, setActive] = useState(0);
  const [chosen, setChosen] = useState<string | null>(null);
  const cutsByPointer = useMemo(() => new Map(cuts.map((cut) => [cut.pointer, cut])), [cuts]);
  const rows = useMemo(
    () => tree(json, { open, cuts: cutsByPointer, shown }),
    [json, open, cutsByPointer, shown],
  );
  const list = useFixedRows(rows.length, ROW_REM);
  const wanted = useRef<number | null>(null);
  // Once the rows that were opened for it are there.
  useLayoutEffect(() => {
    if (wanted.current !== null) list.reveal(wanted.current);
    wanted.current = null;
  });
  const current = Math.min(active, rows.length - 1);
  const chosenRow = rows.find((row) => row.pointer === chosen && row.kind === "value");

  const toggle = (row: Row) => {
    const changed = new Set(open);
    if (!changed.delete(row.pointer)) changed.add(row.pointer);
    setOpen(changed);
  };
  const showMore = async (row: Row) => {
    setShown(new Map(shown).set(row.pointer, (shown.get(row.pointer) ?? PAGE) + PAGE));
    if (row.cut && fetchMore) await fetchMore(row.cut).catch(showProblem);
  };
  const choose = (row: Row) => {
    if (row.kind === "more") showMore(row);
    else {
      setChosen(row.pointer);
      props.onChoose?.(row);
    }
  };
  const goTo = (index: number) => {
    setActive(index);
    wanted.current = index;
  };
  const find = (pointer: string) => {
    const changed = new Set([...open, ...around(pointer)]);
    // The row may be on a further page of a long list.
    const pages = new Map(shown);
    for (const outer of around(pointer)) {
      const value = at(json, outer)?.value ?? NULL;
      const [key] = partsOf(pointer.slice(outer.length));
      const index = children(value).findIndex(([name]) => String(name) === key);
      if (index >= (pages.get(outer) ?? PAGE)) pages.set(outer, index + 1);
    }
    setOpen(changed);
    setShown(pages);
    goTo(
      tree(json, { open: changed, cuts: cutsByPointer, shown: pages }).findIndex(
        (row) => row.pointer === pointer,
      ),
    );
  };
  const press = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to = move(rows, current, event.key, list.page());
    if (to === undefined) return;
    event.preventDefault();
    if ("to" in to) goTo(to.to);
    else if ("toggle" in to) toggle(rows[to.toggle] as Row);
    else choose(rows[to.choose] as Row);
  };
  return (
    <div class="tree">
      <Bar {...props} find={find} />
      <div
        ref={list.element}
        class="tree-rows"
        role="tree"
        aria-label={label}
        tabIndex={0}
        aria-activedescendant={`${id}-${current}`}
        onKeyDown={press}
        onScroll={list.update}
      >
        <div role="none" class="tree-space" style={{ height: `${rows.length * ROW_REM}rem` }}>
          {rows.slice(list.first, list.last).map((row, offset) => {
            const index = list.first + offset;
            return (
              <TreeRow
                key={row.kind + row.pointer}
                id={`${id}-${index}`}
                row={row}
                top={index * ROW_REM}
                active={index === current}
                chosen={row === chosenRow}
                onToggle={() => toggle(row)}
                onChoose={() => {
                  setActive(index);
                  choose(row);
                }}
              />
            );
          })}
        </div>
      </div>
      {chosenRow && <Chosen key={chosen} {...props} row={chosenRow} />}
    </div>
  );
}

interface RowProps {
  id: string;
  row: Row;
  top: number;
  active: boolean;
  chosen: boolean;
  onToggle: () => void;
  onChoose: () => void;
}

function TreeRow({ id, row, top, active, chosen, onToggle, onChoose }: RowProps) {
  const words = texts.json;
  const classes = ["tree-row", active ? "tree-row-active" : "", chosen ? "tree-row-chosen" : ""];
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: the tree has the focus, and names its active row
    // biome-ignore lint/a11y/useKeyWithClickEvents: the tree handles the keys
    <div
      id={id}
      class={classes.join(" ").trim()}
      role="treeitem"
      aria-level={row.level}
      aria-posinset={row.position}
      aria-setsize={row.siblings}
      aria-expanded={row.expandable ? row.expanded : undefined}
      aria-selected={chosen}
      style={{ top: `${top}rem`, "--level": row.level }}
      onClick={onChoose}
    >
      <Twist expandable={row.expandable} onToggle={onToggle} />
      {row.kind === "more" ? (
        <span class="tree-more">{words.more(row.size)}</span>
      ) : (
        <>
          {row.key !== null && (
            <span class="tree-key">
              {typeof row.key === "number" ? row.key : <Text>{row.key}</Text>}
              {":"}
            </span>
          )}
          <Preview row={row} />
        </>
      )}
    </div>
  );
}

function Preview({ row }: { row: Row }) {
  const words = texts.json;
  const { value, cut } = row;
  if (value.kind === "object")
    return <span class="tree-object">{row.size === 0 ? "{}" : words.keys(row.size)}</span>;
  if (value.kind === "array")
    return <span class="tree-array">{row.size === 0 ? "[]" : words.items(row.size)}</span>;
  const text = scalar(value);
  return (
    <>
      <span class={`tree-value tree-${value.kind}`}>
        {value.kind === "string" ? (
          <>
            "<Text>{text.slice(0, ROW_TEXT)}</Text>
            {text.length > ROW_TEXT || cut ? "…" : '"'}
          </>
        ) : (
          text
        )}
      </span>
      {(cut || text.length > ROW_TEXT) && (
        <span class="tree-cut">{words.characters(cut?.size ?? text.length)}</span>
      )}
    </>
  );
}

function Bar({ json, beside, downloadOf, find }: TreeProps & { find: (pointer: string) => void }) {
  const words = texts.json;
  const [typed, setTyped] = useState("");
  const [turn, setTurn] = useState(0);
  const found = useMemo(() => search(json, typed), [json, typed]);
  const go = (to: number) => {
    if (found.length === 0) return;
    const next = (to + found.length) % found.length;
    setTurn(next);
    find(found[next] as string);
  };
  return (
    <div class="tree-bar">
      {beside}
      <input
        class="input tree-search"
        type="search"
        aria-label={words.search}
        placeholder={words.search}
        value={typed}
        onInput={(event) => {
          setTyped(event.currentTarget.value);
          setTurn(-1);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") go(turn + (event.shiftKey ? -1 : 1));
        }}
      />
      <span class="tree-found" role="status">
        {typed !== "" && words.found(turn + 1, found.length)}
      </span>
      <span class="cluster tree-rest">
        <Copy text={() => print(json)} label={words.copyAll} />
        {downloadOf && (
          <a class="button button-quiet button-small" href={downloadOf("")} download="value.json">
            {words.download}
          </a>
        )}
      </span>
    </div>
  );
}

/** The value that is chosen: its path, its whole text, and what is known about it. */
function Chosen({ row, pathOf, fetchMore, downloadOf, about }: TreeProps & { row: Row }) {
  const words = texts.json;
  const { value, cut, keys } = row;
  const [loading, setLoading] = useState(false);
  const path = pathOf(keys);
  const more = async () => {
    if (!cut || !fetchMore) return;
    setLoading(true);
    await fetchMore(cut).catch(showProblem);
    setLoading(false);
  };
  return (
    <section class="tree-chosen" aria-label={words.chosen}>
      <div class="cluster">
        <span class="tree-chosen-path foreign">
          <Text>{path}</Text>
        </span>
        <Copy text={path} label={words.copyPath} />
        <Copy text={() => (value.kind === "string" ? value.text : print(value))} label={words.copyValue} />
        {cut && downloadOf && (
          <a class="button button-quiet button-small" href={downloadOf(row.pointer)} download="value.json">
            {words.downloadWhole}
          </a>
        )}
      </div>
      {value.kind === "string" && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
        <pre class="tree-text" tabIndex={0}>
          <Text lines>{value.text}</Text>
        </pre>
      )}
      {cut && (
        <p class="cluster muted">
          {words.partOf(formatNumber(cut.shown), formatNumber(cut.size), value.kind === "string")}
          {fetchMore && (
            <button type="button" class="button button-small" disabled={loading} onClick={more}>
              {words.fetchMore}
            </button>
          )}
        </p>
      )}
      {about?.(row)}
    </section>
  );
}
