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

interface Page<T> {
  items: T[];
  next: string | null;
}

/** Load a list page by page, by its cursor. */
export function usePages<T>(
  load: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>,
  inputs: readonly unknown[],
  reloadOn?: (event: HooklineEvent) => boolean,
): Pages<T> {
  const first = useResource((signal) => load(undefined, signal), inputs, reloadOn);
  const [further, setFurther] = useState<{ of: Page<T>; items: T[]; next: string | null } | null>(null);
  const [loading, setLoading] = useState(false);
  const [error, setError] = useState<unknown>();
  // Further pages belong to the first page after which they were loaded.
  const added = further !== null && further.of === first.value ? further : null;
  const next = added ? added.next : (first.value?.next ?? null);

  const more = () => {
    const page = first.value;
    if (loading || next === null || page === undefined) return;
    setLoading(true);
    setError(undefined);
    load(next, new AbortController().signal)
      .then((loaded) =>
        setFurther({ of: page, items: [...(added?.items ?? []), ...loaded.items], next: loaded.next }),
      )
      .catch(setError)
      .finally(() => setLoading(false));
  };
  return {
    value: first.value && [...first.value.items, ...(added?.items ?? [])],
    error: first.error ?? error,
    loading: first.loading || loading,
    reload: first.reload,
    more: next === null ? undefined : more,
  };
}
