import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { events, type HooklineEvent } from "./events";

export interface Resource<T> {
  /** The value, also an older one while it is loaded again; undefined until the first one is there. */
  value: T | undefined;
  error: unknown;
  loading: boolean;
  reload: () => void;
}

type Load<T> = (signal: AbortSignal) => Promise<T>;

/** Waiting this long after an event lets one request show the effects of many. */
const SETTLE_MS = 400;

/**
 * Load a value, and load it again when `inputs` change.
 *
 * `reloadOn`: whether an event makes the value stale. Missed events always do.
 */
export function useResource<T>(
  load: Load<T>,
  inputs: readonly unknown[],
  reloadOn?: (event: HooklineEvent) => boolean,
): Resource<T> {
  const [state, setState] = useState<{ value: T | undefined; error: unknown; loading: boolean }>({
    value: undefined,
    error: undefined,
    loading: true,
  });
  const [turn, setTurn] = useState(0);
  const reload = useCallback(() => setTurn((before) => before + 1), []);
  const key = JSON.stringify(inputs);
  const shown = useRef(key);

  // `load` is a new function at each render; `key` stands for what it uses.
  useEffect(() => {
    const controller = new AbortController();
    const isOther = shown.current !== key;
    shown.current = key;
    setState((before) => ({ value: isOther ? undefined : before.value, error: undefined, loading: true }));
    load(controller.signal).then(
      (value) => !controller.signal.aborted && setState({ value, error: undefined, loading: false }),
      (error) =>
        !controller.signal.aborted && setState((before) => ({ value: before.value, error, loading: false })),
    );
    return () => controller.abort();
  }, [key, turn]);

  useReloadOn(reload, reloadOn);
  return { ...state, reload };
}

/** Reload soon after events that matter, at most every `SETTLE_MS`. */
export function useReloadOn(reload: () => void, matters?: (event: HooklineEvent) => boolean): void {
  const test = useRef(matters);
  test.current = matters;
  useEffect(() => {
    if (!test.current) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = events.subscribe((event) => {
      if (event.kind !== "missed" && !test.current?.(event)) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        reload();
      }, SETTLE_MS);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [reload]);
}

export interface Pages<T> extends Resource<T[]> {
  /** Load the next page; undefined on the last one. */
  more: (() => void) | undefined;
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

/**
 * Load a list page by page, by its cursor.
 *
 * When it is loaded again, the rows of further pages stay, so that nothing jumps below who has scrolled to them.
 */
export function usePages<T>(
  load: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>,
  inputs: readonly unknown[],
  reloadOn?: (event: HooklineEvent) => boolean,
  keyOf: (item: T) => string = idOf,
): Pages<T> {
  const known = useRef<{ inputs: string; page: Page<T> } | null>(null);
  const key = JSON.stringify(inputs);
  const first = useResource(
    async (signal) => {
      const page = await load(undefined, signal);
      const before = known.current?.inputs === key ? known.current.page : null;
      known.current = { inputs: key, page: before ? withFirstPage(page, before, keyOf) : page };
      return known.current.page;
    },
    inputs,
    reloadOn,
  );
  const [, redraw] = useState(0);
  const [further, setFurther] = useState<{ loading: boolean; error: unknown }>({
    loading: false,
    error: undefined,
  });
  const page = first.value === undefined ? undefined : (known.current?.page ?? first.value);

  const more = async () => {
    const of = known.current;
    if (further.loading || !of || of.page.next === null) return;
    setFurther({ loading: true, error: undefined });
    try {
      const loaded = await load(of.page.next, new AbortController().signal);
      // Unless it was loaded again meanwhile: then this page belongs to another list.
      if (known.current === of) {
        of.page = { items: [...of.page.items, ...loaded.items], next: loaded.next };
        redraw((turn) => turn + 1);
      }
      setFurther({ loading: false, error: undefined });
    } catch (error) {
      setFurther({ loading: false, error });
    }
  };
  return {
    value: page?.items,
    error: first.error ?? further.error,
    loading: first.loading || further.loading,
    reload: first.reload,
    more: !page || page.next === null || further.error !== undefined ? undefined : more,
  };
}

/** What tells an item from others of its list: its id, or else all of it. */
function idOf(item: unknown): string {
  return (item as { id?: string }).id ?? JSON.stringify(item);
}

/** A list whose first page was loaded again: its rows, and those after them that are known already. */
export function withFirstPage<T>(first: Page<T>, known: Page<T>, keyOf: (item: T) => string): Page<T> {
  const last = first.items.at(-1);
  if (last === undefined || first.next === null) return first;
  const at = known.items.findIndex((item) => keyOf(item) === keyOf(last));
  // Without a common row, rows between the two may be missing.
  return at < 0
    ? first
    : {
        items: [...first.items, ...known.items.slice(at + 1)],
        next: at + 1 < known.items.length ? known.next : first.next,
      };
}
