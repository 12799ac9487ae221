import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { api, body } from "../api/client";
import { events } from "../api/events";
import { afterEvent, firstPage, type LiveList, refreshed, withFresh, withNextPage } from "./live_list";
import { contentOf, listQuery, type Values } from "./query";
import { searchExecutions } from "./search";

const PAGE = 100;
/** The newest page is loaded at most this often, however much happens. */
const REFRESH_MS = 1500;

export interface Executions {
  /** Undefined until the first page is there. */
  list: LiveList | undefined;
  error: unknown;
  loading: boolean;
  /** Executions whose contents were searched; null if the list isn't a search in contents. */
  scanned: number | null;
  /** Load the next page; undefined on the last one. */
  more: (() => void) | undefined;
  /** Show the executions that were held back. */
  showFresh: () => void;
  reload: () => void;
}

/**
 * The executions that some filters select. New ones appear, and those that are listed change, as it happens.
 *
 * `holds`: whether new ones are held back, because the viewer is further down.
 */
export function useExecutions(values: Values, holds: () => boolean): Executions {
  const [state, setState] = useState<{
    key: string;
    list?: LiveList;
    error?: unknown;
    loading: boolean;
    scanned: number;
  }>({ key: "", loading: true, scanned: 0 });
  const [turn, setTurn] = useState(0);
  const key = JSON.stringify(values);
  const searches = contentOf(values) !== null;
  const held = useRef(holds);
  held.current = holds;
  const shown = state.key === key ? state : { key, loading: true, scanned: 0 };
  const loadingMore = useRef(false);
  const rows = useRef(0);

  const load = useCallback(
    async (cursor: string | null, signal?: AbortSignal) => {
      const query = { ...listQuery(values, new Date()), limit: PAGE, ...(cursor ? { cursor } : {}) };
      const content = contentOf(values);
      if (content !== null) return searchExecutions(query, content, signal);
      const page = await body(
        api.GET("/api/v1/executions", { params: { query }, ...(signal ? { signal } : {}) }),
      );
      return { ...page, scanned: 0 };
    },
    [key],
  );

  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    let timer: ReturnType<typeof setTimeout> | undefined;
    setState((before) => ({ ...(before.key === key ? before : { key, scanned: 0 }), key, loading: true }));
    const change = (to: (list: LiveList) => LiveList) =>
      setState((before) =>
        before.key === key && before.list !== undefined ? { ...before, list: to(before.list) } : before,
      );
    load(null, signal).then(
      (page) =>
        !signal.aborted && setState({ key, list: firstPage(page), loading: false, scanned: page.scanned }),
      (error) => !signal.aborted && setState({ key, error, loading: false, scanned: 0 }),
    );
    // A search in contents is costly, so it isn't repeated by itself.
    const refresh = searches
      ? undefined
      : async () => {
          timer = undefined;
          const page = await load(null, signal).catch(() => null);
          if (page !== null && !signal.aborted) change((list) => refreshed(list, page, held.current()));
        };
    const stop = events.subscribe((event) => {
      change((list) => afterEvent(list, event));
      // Of older executions nobody knows what has happened to them meanwhile.
      if (event.kind === "missed" && rows.current > PAGE && !searches) {
        if (held.current()) change((list) => ({ ...list, behind: true }));
        else setTurn((before) => before + 1);
        return;
      }
      if (refresh !== undefined && event.kind !== "step.finished") timer ??= setTimeout(refresh, REFRESH_MS);
    });
    return () => {
      controller.abort();
      stop();
      clearTimeout(timer);
    };
  }, [load, turn, searches]);

  const { list } = shown as { list?: LiveList };
  rows.current = list?.rows.length ?? 0;
  const more = () => {
    if (loadingMore.current || !list || list.next === null) return;
    loadingMore.current = true;
    setState((before) => ({ ...before, loading: true }));
    load(list.next)
      .then(
        (page) =>
          setState((before) =>
            before.key === key && before.list
              ? {
                  ...before,
                  list: withNextPage(before.list, page),
                  loading: false,
                  scanned: before.scanned + page.scanned,
                }
              : before,
          ),
        (error) => setState((before) => (before.key === key ? { ...before, error, loading: false } : before)),
      )
      .finally(() => {
        loadingMore.current = false;
      });
  };
  return {
    list,
    error: (shown as { error?: unknown }).error,
    loading: shown.loading,
    scanned: searches ? shown.scanned : null,
    more: list && list.next !== null ? more : undefined,
    showFresh: () =>
      setState((before) => (before.list ? { ...before, list: withFresh(before.list) } : before)),
    reload: () => setTurn((before) => before + 1),
  };
}
