/**
 * The waterfall of an execution: rows of steps with bars on one scale of time.
 *
 * Times are microseconds since 1970, as exact as the server sends them: most steps take less than a millisecond. Rows
 * have the order of the journal, because clocks of different nodes differ. Long idle times are compressed, and marked.
 */

import { micros } from "../ui/moments";

export interface Attempt {
  readonly attempt: number;
  readonly state: string;
  readonly started_at: string;
  readonly finished_at: string;
  readonly due_at: string | null;
  readonly error: object | null;
}

export interface Step extends Attempt {
  readonly id: string;
  readonly path: string;
  readonly use: string;
  readonly signal: string | null;
  readonly earlier: readonly Attempt[];
}

export interface Recorded {
  readonly state: string;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly steps: readonly Step[];
}

export type BarKind = "queued" | "run" | "failed" | "backoff" | "wait" | "span";

export interface Bar {
  readonly kind: BarKind;
  readonly from: number;
  readonly to: number;
  /** Counted from 1; 0 if the bar isn't an attempt. */
  readonly attempt: number;
  /** True if it goes on while the execution runs. */
  readonly open: boolean;
}

export interface Row {
  /** The path of the step; empty for the execution. */
  readonly path: string;
  readonly label: string;
  readonly level: number;
  readonly step: Step | null;
  readonly state: string;
  readonly bars: readonly Bar[];
  /** The time since the step before it ended, if nothing else ran in between; 0 if there is none. */
  readonly gap: { readonly from: number; readonly to: number } | null;
  readonly expandable: boolean;
  readonly expanded: boolean;
  /** Steps and items directly inside. */
  readonly inside: number;
  readonly failedInside: number;
  readonly position: number;
  readonly siblings: number;
}

export interface Timeline {
  readonly rows: readonly Row[];
  readonly from: number;
  readonly to: number;
  readonly scale: Scale;
}

interface Branch {
  readonly path: string;
  readonly label: string;
  step: Step | null;
  readonly inside: Branch[];
}

/** The blocks around a step: `lines`, `lines[3]` for `lines[3]/post`. */
export function blocksOf(path: string): string[] {
  const found: string[] = [];
  const names = path.split("/");
  names.forEach((name, index) => {
    const before = names.slice(0, index).join("/");
    const own = before === "" ? name : `${before}/${name}`;
    const item = own.replace(/\[\d+\]$/, "");
    if (item !== own) {
      found.push(item);
    }
    if (index < names.length - 1) {
      found.push(own);
    }
  });
  return found;
}

function forest(steps: readonly Step[]): Branch {
  const root: Branch = { path: "", label: "", step: null, inside: [] };
  const known = new Map<string, Branch>([["", root]]);
  const branch = (path: string): Branch => {
    const found = known.get(path);
    if (found !== undefined) {
      return found;
    }
    const outer = branch(blocksOf(path).at(-1) ?? "");
    const slash = path.lastIndexOf("/") + 1;
    const item = /\[\d+\]$/.exec(path);
    const made: Branch = { path, label: item?.[0] ?? path.slice(slash), step: null, inside: [] };
    known.set(path, made);
    outer.inside.push(made);
    return made;
  };
  for (const step of steps) {
    branch(step.path).step = step;
  }
  for (const one of known.values()) {
    if (one.inside.some((inner) => inner.label.startsWith("["))) {
      one.inside.sort((left, right) => Number(left.label.slice(1, -1)) - Number(right.label.slice(1, -1)));
    }
  }
  return root;
}

/** Rows inside a block that are shown at first. */
const OPEN_AT_FIRST = 12;

/** The blocks that are open at first: those with few steps, and those around a step that failed. */
export function openBlocks(steps: readonly Step[]): Set<string> {
  const open = new Set<string>();
  const walk = (one: Branch) => {
    if (one.path !== "" && one.inside.length > 0 && one.inside.length <= OPEN_AT_FIRST) {
      open.add(one.path);
    }
    one.inside.forEach(walk);
  };
  walk(forest(steps));
  const failed = steps.find((step) => step.state === "failed" && step.path.includes("/"));
  for (const path of failed === undefined ? [] : blocksOf(failed.path)) {
    open.add(path);
  }
  return open;
}

/** Lay out an execution. `now`: where the bars end that are still open. */
export function timeline(execution: Recorded, open: ReadonlySet<string>, now: number): Timeline {
  const root = forest(execution.steps);
  const ended = execution.finished_at === null ? null : micros(execution.finished_at);
  const end = ended ?? Math.max(now, micros(execution.created_at));
  const rows: Row[] = [executionRow(execution, end, ended === null, root)];
  let last = execution.started_at === null ? null : micros(execution.started_at);

  const add = (one: Branch, level: number, position: number, siblings: number) => {
    const bars =
      one.inside.length > 0 ? [span(one, end, ended === null)] : stepBars(one.step, end, ended === null);
    const begin = bars[0]?.from ?? null;
    const gap = last !== null && begin !== null && begin > last ? { from: last, to: begin } : null;
    const expandable = one.inside.length > 0;
    const expanded = expandable && open.has(one.path);
    rows.push({
      path: one.path,
      label: one.label,
      level,
      step: one.step,
      state: stateOf(one, ended === null),
      bars,
      gap,
      expandable,
      expanded,
      inside: one.inside.length,
      failedInside: one.inside.filter((inner) => stateOf(inner, ended === null) === "failed").length,
      position,
      siblings,
    });
    if (expanded) {
      one.inside.forEach((inner, index) => {
        add(inner, level + 1, index + 1, one.inside.length);
      });
    }
    const until = bars.at(-1)?.to ?? null;
    last = until === null ? last : Math.max(last ?? until, until);
  };
  root.inside.forEach((one, index) => {
    add(one, 1, index + 1, root.inside.length);
  });

  const bars = rows.flatMap((row) => row.bars);
  const from = Math.min(micros(execution.created_at), ...smallest(bars));
  const to = Math.max(end, from + 1, ...largest(bars));
  return { rows, from, to, scale: scale(from, to, busy(root, execution, end)) };
}

// Spreading ten thousand bars into Math.min would overflow the stack.
function smallest(bars: readonly Bar[]): number[] {
  return bars.length === 0
    ? []
    : [bars.reduce((least, bar) => Math.min(least, bar.from), Number.POSITIVE_INFINITY)];
}

function largest(bars: readonly Bar[]): number[] {
  return bars.length === 0
    ? []
    : [bars.reduce((most, bar) => Math.max(most, bar.to), Number.NEGATIVE_INFINITY)];
}

function executionRow(execution: Recorded, end: number, open: boolean, root: Branch): Row {
  const created = micros(execution.created_at);
  const started = execution.started_at === null ? null : micros(execution.started_at);
  const queued: Bar = {
    kind: "queued",
    from: created,
    to: started ?? end,
    attempt: 0,
    open: started === null && open,
  };
  const ran: Bar[] = started === null ? [] : [{ kind: "span", from: started, to: end, attempt: 0, open }];
  return {
    path: "",
    label: "",
    level: 0,
    step: null,
    state: execution.state,
    bars: [queued, ...ran],
    gap: null,
    expandable: false,
    expanded: false,
    inside: root.inside.length,
    failedInside: 0,
    position: 1,
    siblings: 1,
  };
}

/** The bars of one step: each attempt, and each wait after one. */
function stepBars(step: Step | null, end: number, running: boolean): Bar[] {
  if (step === null) {
    return [];
  }
  const attempts: readonly Attempt[] = [...step.earlier, step];
  return attempts.flatMap((one, index): Bar[] => {
    const from = micros(one.started_at);
    const to = Math.max(from, micros(one.finished_at));
    const after = attempts[index + 1];
    const next = after === undefined ? null : micros(after.started_at);
    const open = next === null && running;
    const waitsUntil =
      next ?? (one.due_at === null ? end : running ? end : Math.min(end, micros(one.due_at)));
    if (one.state === "waiting" && one.error === null) {
      // It waits for a callback, a time, or others; what ends the wait is the next entry.
      return [{ kind: "wait", from, to: Math.max(from, waitsUntil), attempt: one.attempt, open }];
    }
    if (one.state === "interrupted") {
      return [{ kind: "wait", from, to, attempt: one.attempt, open: false }];
    }
    if (one.state === "waiting") {
      return [
        { kind: "failed", from, to, attempt: one.attempt, open: false },
        { kind: "backoff", from: to, to: Math.max(to, waitsUntil), attempt: one.attempt, open },
      ];
    }
    // The entry of a step that waited begins with the wait.
    const waited = attempts[index - 1]?.state === "waiting" && attempts[index - 1]?.error === null;
    const began = waited && from <= micros(attempts[index - 1]?.started_at ?? "") ? to : from;
    const kind = one.state === "failed" ? "failed" : "run";
    return [
      {
        kind,
        from: began,
        to: open && one.state === "started" ? end : to,
        attempt: one.attempt,
        open: open && one.state === "started",
      },
    ];
  });
}

function span(block: Branch, end: number, running: boolean): Bar {
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  const widen = (one: Branch) => {
    if (one.inside.length > 0) {
      one.inside.forEach(widen);
    }
    for (const bar of one.inside.length > 0 ? [] : stepBars(one.step, end, false)) {
      from = Math.min(from, bar.from);
      to = Math.max(to, bar.to);
    }
  };
  widen(block);
  // A block has an entry of its own once it has ended. Its items have none.
  const open = running && block.step === null && !block.label.startsWith("[");
  return { kind: "span", from, to: open ? end : Math.max(to, from), attempt: 0, open };
}

/** The state of a step; that of a block or an item follows from the steps inside, as long as it has none of its own. */
function stateOf(one: Branch, running: boolean): string {
  if (one.step !== null) {
    return one.step.state;
  }
  const states = one.inside.map((inner) => stateOf(inner, running));
  if (states.includes("failed")) {
    return "failed";
  }
  if (states.includes("waiting")) {
    return "waiting";
  }
  return one.label.startsWith("[") || !running ? "succeeded" : "running";
}

/** The times at which something runs, which are never compressed. */
function busy(root: Branch, execution: Recorded, end: number): (readonly [number, number])[] {
  const times: (readonly [number, number])[] = [[micros(execution.created_at), micros(execution.created_at)]];
  if (execution.started_at !== null) {
    times.push([micros(execution.started_at), micros(execution.started_at)]);
  }
  times.push([end, end]);
  const walk = (one: Branch) => {
    one.inside.forEach(walk);
    for (const bar of one.inside.length > 0 ? [] : stepBars(one.step, end, false)) {
      if (bar.kind === "run" || bar.kind === "failed") {
        times.push([bar.from, bar.to]);
      } else {
        times.push([bar.from, bar.from], [bar.to, bar.to]);
      }
    }
  };
  walk(root);
  if (execution.state === "running") {
    // A step has an entry once it has ended, so what runs now isn't known, but something does.
    times.push([
      times.reduce((last, [, to]) => (to < end ? Math.max(last, to) : last), times[0]?.[0] ?? end),
      end,
    ]);
  }
  return times;
}

export interface Break {
  /** Where it is, from 0 to 1. */
  readonly at: number;
  readonly until: number;
  /** Microseconds that are compressed to it. */
  readonly duration: number;
}

export interface Scale {
  /** The place of a time, from 0 to 1. */
  readonly place: (time: number) => number;
  readonly breaks: readonly Break[];
  /** Microseconds from one line to the next. */
  readonly step: number;
  readonly ticks: readonly { readonly at: number; readonly time: number }[];
}

/** A break takes this part of the width, and stands for an idle time of more than this part of all others. */
const BREAK = 0.09;
const IDLE = 0.75;

/** The scale from one time to another. Idle times that would take most of it are compressed to breaks. */
export function scale(from: number, to: number, times: readonly (readonly [number, number])[]): Scale {
  const whole = Math.max(1, to - from);
  const idle = idleTimes(from, to, times)
    .filter(([begin, end]) => end - begin > whole * 0.1)
    .sort((left, right) => right[1] - right[0] - (left[1] - left[0]))
    .slice(0, 5);
  const idled = idle.reduce((sum, [begin, end]) => sum + end - begin, 0);
  const compressed =
    idled > whole * IDLE && whole > idled ? [...idle].sort((left, right) => left[0] - right[0]) : [];
  const shown = whole - (compressed.length > 0 ? idled : 0);
  const width = 1 - compressed.length * BREAK;
  const place = (time: number): number => {
    let left = Math.max(0, Math.min(whole, time - from));
    let at = 0;
    let before = from;
    for (const [begin, end] of compressed) {
      const run = begin - before;
      if (left <= run) {
        return at + (left / shown) * width;
      }
      at += (run / shown) * width;
      left -= run;
      const rest = end - begin;
      if (left <= rest) {
        return at + (left / rest) * BREAK;
      }
      at += BREAK;
      left -= rest;
      before = end;
    }
    return Math.min(1, at + (left / shown) * width);
  };
  const breaks = compressed.map(([begin, end]) => ({
    at: place(begin),
    until: place(end),
    duration: end - begin,
  }));
  const step = roundStep((whole - idledIn(breaks)) / 6);
  return { place, breaks, step, ticks: ticks(from, to, step, place, breaks) };
}

function idleTimes(
  from: number,
  to: number,
  times: readonly (readonly [number, number])[],
): [number, number][] {
  const sorted = [...times].sort((left, right) => left[0] - right[0]);
  const found: [number, number][] = [];
  let until = from;
  for (const [begin, end] of sorted) {
    if (begin > until) {
      found.push([until, begin]);
    }
    until = Math.max(until, end);
  }
  if (to > until) {
    found.push([until, to]);
  }
  return found;
}

/** The part of the width that the time of a tick needs. */
const TICK = 0.08;
const STEPS = [1, 2, 5];
const SECOND = 1e6;
const UNITS = [
  60 * SECOND,
  300 * SECOND,
  900 * SECOND,
  3600 * SECOND,
  21600 * SECOND,
  86400 * SECOND,
  604800 * SECOND,
];

function idledIn(breaks: readonly Break[]): number {
  return breaks.reduce((sum, one) => sum + one.duration, 0);
}

/** Round times since the beginning at which lines are drawn: about six, none of them inside a break. */
function ticks(
  from: number,
  to: number,
  step: number,
  place: (time: number) => number,
  breaks: readonly Break[],
): { at: number; time: number }[] {
  const found: { at: number; time: number }[] = [];
  let last = Number.NEGATIVE_INFINITY;
  // A compressed idle time is passed in one go, however long it is.
  for (let time = 0; time <= to - from && found.length < 40; time += step) {
    const at = place(from + time);
    const inside = breaks.find((one) => at >= one.at && at < one.until);
    if (inside !== undefined) {
      const rest = (1 - (at - inside.at) / (inside.until - inside.at)) * inside.duration;
      time += Math.floor(rest / step) * step;
      continue;
    }
    const beforeBreak = breaks.some((one) => at < one.at && one.at - at < TICK);
    if (at - last > TICK && !beforeBreak) {
      found.push({ at, time });
      last = at;
    }
  }
  return found;
}

function roundStep(least: number): number {
  const unit = UNITS.find((one) => one >= least);
  if (least < 20 * SECOND || unit === undefined) {
    const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
    return power * (STEPS.find((one) => one * power >= least) ?? 10);
  }
  return unit;
}
