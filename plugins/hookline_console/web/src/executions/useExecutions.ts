import { useEffect, useRef, useState } from "preact/hooks";
import { api, body } from "../api/client";
import { events, type HooklineEvent } from "../api/events";
import { useReloads } from "../api/resource";
import { afterEvent, firstPage, type LiveList, refreshed, withFresh, withNextPage } from "./live_list";
import { contentOf, listQuery, type Values } from "./query";
import { searchExecutions } from "./search";

const PAGE = 100;
/** The newest page is loaded at most this often, however much happens. */
const REFRESH_MS = 10_000;
/** What happens within this time is drawn at once. */
const DRAW_MS = 100;

export interface Executions {
  /** Undefined until the first page is there. */
  list: LiveList | undefined;
  error: unknown;
  loading: boolean;
  /** Executions whose contents were searched; null if the list isn't a search in contents. */
  scanned: number | null;
  /** Load the next page; undefined on the last one, and while there is an error. */
  more: (() => void) | undefined;
  /** Try again what has failed. */
  retry: () => void;
  /** Show the executions that were held back. */
  showFresh: () => void;
  /** Begin the list anew. */
  reload: () => void;
}

interface State {
  /** The filters for which it was loaded. */
  key: string;
  list?: LiveList;
  error?: unknown;
  loading: boolean;
  scanned: number;
}

const begin = (key: string): State => ({ key, loading: true, scanned: 0 });

/**
 * The executions that some filters select. New ones appear, and those that are listed change, as it happens.
 *
 * `holds`: whether new ones are held back, because the viewer is further down.
 */
export function useExecutions(values: Values, holds: () => boolean): Executions {
  const key = JSON.stringify(values);
  const content = contentOf(values);
  const [state, setState] = useState(begin(key));
  const shown = state.key === key ? state : begin(key);
  const { list } = shown;
  const latest = useRef({ list, holds });
  latest.current = { list, holds };
  /** The filters whose list is begun anew by the next load, rather than refreshed. */
  const anew = useRef<string | null>(key);
  /** The further page that loads. */
  const further = useRef<string | null>(null);

  const change = (to: (before: State) => State) =>
    setState((before) => (before.key === key ? to(before) : before));
  const changeList = (to: (list: LiveList) => LiveList) =>
    change((before) => (before.list === undefined ? before : { ...before, list: to(before.list) }));
  const load = async (cursor: string | null, signal?: AbortSignal) => {
    const query = { ...listQuery(values, new Date()), limit: PAGE, ...(cursor ? { cursor } : {}) };
    if (content !== null) return searchExecutions(query, content, signal);
    const page = await body(
      api.GET("/api/v1/executions", { params: { query }, ...(signal ? { signal } : {}) }),
    );
    return { ...page, scanned: 0 };
  };

  const loadFirst = async (signal: AbortSignal) => {
    const begins = latest.current.list === undefined || anew.current === key;
    if (begins) {
      further.current = null;
      setState((before) => ({
        ...(before.key === key ? before : begin(key)),
        error: undefined,
        loading: true,
      }));
    }
    try {
      const page = await load(null, signal);
      if (signal.aborted) return;
      if (begins) {
        anew.current = null;
        setState({ key, list: firstPage(page), loading: false, scanned: page.scanned });
      } else changeList((before) => refreshed(before, page, latest.current.holds()));
    } catch (error) {
      // A list that can't be refreshed stays; the state of the connection tells that it is old.
      if (begins && !signal.aborted) change((before) => ({ ...before, error, loading: false }));
    }
  };
  // A search in contents is costly, so it isn't repeated by itself.
  const changesList = (event: HooklineEvent) => content === null && event.kind !== "step.finished";
  const loadNow = useReloads(loadFirst, key, changesList, REFRESH_MS);

  useEffect(() => {
    let happened: HooklineEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = () => {
      const drawn = happened;
      happened = [];
      timer = undefined;
      changeList((before) => drawn.reduce(afterEvent, before));
    };
    const stop = events.subscribe((event) => {
      happened.push(event);
      timer ??= setTimeout(draw, DRAW_MS);
      // Of executions after the first page nobody knows what has happened to them meanwhile.
      if (event.kind !== "missed" || content !== null || (latest.current.list?.rows.length ?? 0) <= PAGE)
        return;
      if (latest.current.holds()) changeList((before) => ({ ...before, behind: true }));
      else anew.current = key;
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [key]);

  const reload = () => {
    anew.current = key;
    loadNow();
  };
  const loadMore = async (cursor: string) => {
    const place = `${key} ${cursor}`;
    if (further.current === place) return;
    further.current = place;
    const tell = (to: (before: State) => State) => further.current === place && change(to);
    tell((before) => ({ ...before, error: undefined, loading: true }));
    try {
      const page = await load(cursor);
      tell((before) => ({ ...withPage(before, cursor, page), loading: false }));
    } catch (error) {
      tell((before) => ({ ...before, error, loading: false }));
    } finally {
      if (further.current === place) further.current = null;
    }
  };
  const more = list && list.next !== null ? loadMore.bind(null, list.next) : undefined;
  return {
    list,
    error: shown.error,
    loading: shown.loading,
    scanned: content === null ? null : shown.scanned,
    more: shown.error === undefined ? more : undefined,
    retry: more ?? reload,
    showFresh: () => changeList(withFresh),
    reload,
  };
}

/** The state with the page after a cursor, unless the list has another end by now. */
function withPage(
  before: State,
  cursor: string,
  page: Parameters<typeof withNextPage>[1] & { scanned: number },
) {
  if (before.list?.next !== cursor) return before;
  return {
    ...before,
    list: withNextPage(before.list, page),
    scanned: before.scanned + page.scanned,
  };
}
