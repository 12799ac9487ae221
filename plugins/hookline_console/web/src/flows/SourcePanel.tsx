import { useEffect, useMemo, useRef } from "preact/hooks";
import { texts } from "../texts";
import { linesOf, placeOf, type Source, type SourceLine } from "./source";

const words = texts.flows.source;

interface SourcePanelProps {
  source: Source;
  /** The id of each step by its pointer. */
  steps: Readonly<Record<string, string>>;
  selected: string | null;
  onSelect: (pointer: string) => void;
}

/** The JSON of a flow. A line leads to its step in the picture, and the selected step is marked. */
export function SourcePanel({ source, steps, selected, onSelect }: SourcePanelProps) {
  const element = useRef<HTMLElement>(null);
  const places = useMemo(() => new Set(Object.keys(steps)), [steps]);
  const range = selected === null ? undefined : linesOf(source, selected);
  const [first, last] = range ?? [-1, -1];
  // A line that was clicked is where it should be.
  const clicked = useRef<string | null>(null);
  useEffect(() => {
    if (first < 0 || clicked.current === selected) return;
    const text = element.current;
    const line = text?.querySelector<HTMLElement>(`[data-line="${first}"]`);
    const panel = text?.parentElement;
    // Only the panel scrolls, and not the page around it.
    if (text && line && panel) panel.scrollTop = line.offsetTop - text.offsetTop - panel.clientHeight / 3;
  }, [first, selected]);
  const select = (pointer: string) => {
    clicked.current = pointer;
    onSelect(pointer);
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the numbers of the steps' lines are buttons
    <section
      ref={element}
      class="source foreign"
      aria-label={words.label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
      tabIndex={0}
      onClick={(event) => {
        const place = (event.target as Element).closest<HTMLElement>("[data-place]")?.dataset.place;
        if (place !== undefined && window.getSelection()?.isCollapsed) select(place);
      }}
    >
      {source.lines.map((line, index) => (
        <Line
          key={index}
          number={index}
          line={line}
          place={placeOf(line.pointer, places)}
          step={source.ranges.get(line.pointer)?.[0] === index ? steps[line.pointer] : undefined}
          selected={index >= first && index <= last}
        />
      ))}
    </section>
  );
}

interface LineProps {
  number: number;
  line: SourceLine;
  /** The pointer of the step to which it belongs. */
  place: string | null;
  /** The id of the step that begins here. */
  step: string | undefined;
  selected: boolean;
}

function Line({ number, line, place, step, selected }: LineProps) {
  return (
    <div
      class={`source-line${selected ? " source-selected" : ""}`}
      data-line={number}
      data-place={place ?? undefined}
    >
      <span class="source-gutter">
        {step === undefined ? (
          number + 1
        ) : (
          <button type="button" class="source-link" aria-label={words.show(step)} title={words.show(step)}>
            {number + 1}
          </button>
        )}
      </span>
      <span class="source-text">
        {"  ".repeat(line.indent)}
        {line.tokens.map((token, index) => (
          <span key={index} class={`source-${token.kind}`}>
            {token.text}
          </span>
        ))}
      </span>
    </div>
  );
}
