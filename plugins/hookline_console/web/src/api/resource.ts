import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { events, type HooklineEvent } from "./events";
import { Reloads } from "./reloads";

export interface Resource<T> {
  /** The value, also an older one while it is loaded again; undefined until the first one is there. */
  value: T | undefined;
  error: unknown;
  loading: boolean;
  reload: () => void;
}

type Load<T> = (signal: AbortSignal) => Promise<T>;
type IsStale = (event: HooklineEvent) => boolean;

/** Waiting this long after an event lets one request show the effects of many. */
const SETTLE_MS = 400;

interface State<T> {
  /** What it was loaded for. */
  key: string;
  value: T | undefined;
  error: unknown;
  loading: boolean;
}

const begin = (key: string) => ({ key, value: undefined, error: undefined, loading: true });

/**
 * Load a value, and load it again when `inputs` change. A value of other inputs is never shown.
 *
 * `isStale`: whether an event makes the value stale. Missed events always do. `apartMs`: see `Reloads`.
 */
export function useResource<T>(
  load: Load<T>,
  inputs: readonly unknown[],
  isStale?: IsStale,
  apartMs = 0,
): Resource<T> {
  const key = JSON.stringify(inputs);
  const [state, setState] = useState<State<T>>(begin(key));
  // They are new functions at each render; `key` stands for what they use.
  const current = useRef({ load, isStale });
  current.current = { load, isStale };

  const reload = useReloads(
    async (signal) => {
      setState((before) => ({
        ...(before.key === key ? before : begin(key)),
        error: undefined,
        loading: true,
      }));
      try {
        const value = await current.current.load(signal);
        if (!signal.aborted) setState({ key, value, error: undefined, loading: false });
      } catch (error) {
        if (!signal.aborted) setState((before) => ({ ...before, error, loading: false }));
      }
    },
    key,
    (event) =>
      current.current.isStale !== undefined && (event.kind === "missed" || current.current.isStale(event)),
    apartMs,
  );
  const { value, error, loading } = state.key === key ? state : begin(key);
  return { value, error, loading, reload };
}

/**
 * Load now, when `key` changes, and soon after events that matter, while the page is visible. Returns the function that
 * loads again at once.
 */
export function useReloads(
  load: (signal: AbortSignal) => Promise<void>,
  key: string,
  matters: IsStale,
  apartMs: number,
): () => void {
  const latest = useRef<Reloads | null>(null);
  useEffect(() => {
    const reloads = new Reloads({ load, settleMs: SETTLE_MS, apartMs, isHidden: () => document.hidden });
    const show = () => reloads.shown();
    const stop = events.subscribe((event) => matters(event) && reloads.soon());
    document.addEventListener("visibilitychange", show);
    latest.current = reloads;
    reloads.now();
    return () => {
      stop();
      document.removeEventListener("visibilitychange", show);
      reloads.stop();
    };
  }, [key]);
  return useCallback(() => latest.current?.now(), []);
}

export interface Pages<T> extends Resource<T[]> {
  /** Load the next page; undefined on the last one. */
  more: (() => void) | undefined;
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

/** The loading of a page after the first. */
interface Further {
  key: string;
  cursor: string;
  /** Undefined while it loads. */
  error?: unknown;
}

/**
 * Load a list page by page, by its cursor.
 *
 * When it is loaded again, the rows of further pages stay, so that nothing jumps below who has scrolled to them.
 */
export function usePages<T>(
  load: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>,
  inputs: readonly unknown[],
  isStale?: IsStale,
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
    isStale,
  );
  const [further, setFurther] = useState<Further | null>(null);
  const page = first.value === undefined ? undefined : (known.current?.page ?? first.value);
  const asked = useRef("");

  const loadMore = async (cursor: string) => {
    const place = `${key} ${cursor}`;
    if (asked.current === place) return;
    asked.current = place;
    setFurther({ key, cursor });
    try {
      const loaded = await load(cursor, new AbortController().signal);
      const now = known.current;
      // Unless it belongs to another list: the filters may have changed, or the pages before it.
      if (now?.inputs === key && now.page.next === cursor)
        now.page = { items: [...now.page.items, ...loaded.items], next: loaded.next };
      setFurther((before) => (before?.key === key && before.cursor === cursor ? null : before));
    } catch (error) {
      setFurther((before) =>
        before?.key === key && before.cursor === cursor ? { key, cursor, error } : before,
      );
    } finally {
      if (asked.current === place) asked.current = "";
    }
  };
  const ownFurther = further?.key === key && further.cursor === page?.next ? further : null;
  const next = page?.next ?? null;
  const reload = useCallback(() => {
    setFurther(null);
    first.reload();
  }, [first.reload]);
  return {
    value: page?.items,
    error: first.error ?? ownFurther?.error,
    loading: first.loading || (ownFurther !== null && ownFurther.error === undefined),
    reload,
    more: next === null || ownFurther?.error !== undefined ? undefined : () => loadMore(next),
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
