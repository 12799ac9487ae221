/** A bar of filters, whose values are in the page's URL, so that a list can be shared and found again. */

import "./field.css";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { texts } from "../texts";

const TYPING_MS = 250;

export interface Filters {
  values: Readonly<Record<string, string>>;
  set: (name: string, value: string) => void;
  clear: () => void;
}

/** The filters of a page: the parameters of its URL with these names. */
export function useFilters(names: readonly string[]): Filters {
  const { path, query, route } = useLocation();
  const values = Object.fromEntries(
    names.map((name) => [name, query[name] ?? ""]).filter(([, value]) => value !== ""),
  );
  const go = (changed: Record<string, string>) => {
    const text = new URLSearchParams(Object.entries(changed).filter(([, value]) => value !== "")).toString();
    route(text ? `${path}?${text}` : path, true);
  };
  return { values, set: (name, value) => go({ ...query, [name]: value }), clear: () => go({}) };
}

export function FilterBar({ filters, children }: { filters: Filters; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: older browsers know no <search>
    <div class="filters" role="search">
      {children}
      {Object.keys(filters.values).length > 0 && (
        <button type="button" class="button button-quiet" onClick={filters.clear}>
          {texts.common.clearFilters}
        </button>
      )}
    </div>
  );
}

interface FilterProps {
  filters: Filters;
  name: string;
  label: string;
}

/** A text that filters while it is typed. */
export function TextFilter({ filters, name, label }: FilterProps) {
  const value = filters.values[name] ?? "";
  const [typed, setTyped] = useState(value);
  const sent = useRef(value);
  useEffect(() => {
    if (value !== sent.current) setTyped(value);
    sent.current = value;
  }, [value]);
  useEffect(() => {
    if (typed === sent.current) return;
    const timer = setTimeout(() => {
      sent.current = typed;
      filters.set(name, typed);
    }, TYPING_MS);
    return () => clearTimeout(timer);
  });
  return (
    <input
      class="input filter-search"
      type="search"
      aria-label={label}
      placeholder={label}
      value={typed}
      onInput={(event) => setTyped(event.currentTarget.value)}
    />
  );
}

/** A choice among some values, or all. */
export function SelectFilter({
  filters,
  name,
  label,
  options,
}: FilterProps & { options: readonly { value: string; label: string }[] }) {
  return (
    <select
      class="input"
      aria-label={label}
      value={filters.values[name] ?? ""}
      onChange={(event) => filters.set(name, event.currentTarget.value)}
    >
      <option value="">{label}</option>
      {options.map((option) => (
        <option key={option.value} value={option.value}>
          {option.label}
        </option>
      ))}
    </select>
  );
}
