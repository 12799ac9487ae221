import "../flows/flow.css";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { StepBar } from "../blocks/StepBar";
import type { Blocks } from "../blocks/useBlocks";
import type { Editing, Snapshot } from "../code/editing";
import { FlowForm } from "../forms/FlowForm";
import type { Schema } from "../forms/schema";
import { texts } from "../texts";
import { Boundary } from "../ui/Boundary";
import { Loading } from "../ui/Notices";
import { Tabs } from "../ui/Tabs";
import { useMedia } from "../ui/useMedia";
import { FollowingPicture } from "./FollowingPicture";
import { LowerPanels } from "./LowerPanels";
import type { LowerPanelsState, Overlay } from "./useLowerPanels";

const words = texts.editor;
const VIEWS = ["text", "picture", "form"] as const;
export type View = (typeof VIEWS)[number];
/** Below this width, one of the text, the picture and the form is shown. */
const NARROW = "(max-width: 64rem)";

interface PanesProps {
  editing: Editing | null;
  snapshot: Snapshot | null;
  panels: LowerPanelsState;
  /** The schema of flows. */
  schema: Schema;
  blocks: Blocks;
  /** What is shown beside the text; in a narrow window, also what is shown instead of it. */
  view: View;
  onView: (view: View) => void;
  /** When it grows, the form gets the focus. */
  editTurn: number;
  /** The editor of the text. */
  children: ComponentChildren;
}

/** The text, the picture or the form beside it, and the panels below. */
export function Panes({
  editing,
  snapshot,
  schema,
  blocks,
  panels,
  view,
  onView,
  editTurn,
  children,
}: PanesProps) {
  const isNarrow = useMedia(NARROW);
  const side = view === "form" ? "form" : "picture";
  const beside = editing && snapshot && (
    <Boundary of={snapshot}>
      <Beside side={side} {...{ editing, snapshot, schema, blocks, editTurn }} overlay={panels.overlay} />
    </Boundary>
  );
  return (
    <div class={`edit${isNarrow ? " edit-narrow" : ""}${panels.tab === "problems" ? "" : " edit-deep"}`}>
      {isNarrow && <Views view={view} onView={onView} />}
      {/* The key keeps the editor, with its history, when the window becomes narrow. */}
      <section
        key="text"
        class="card edit-text"
        aria-label={words.tabs.text}
        hidden={isNarrow && view !== "text"}
      >
        {children}
      </section>
      <section
        key="beside"
        class="card edit-beside"
        aria-label={words.tabs[side]}
        hidden={isNarrow && view === "text"}
      >
        <StepBar blocks={blocks} />
        <div class="edit-pane">
          {isNarrow ? (
            (beside ?? <Loading />)
          ) : (
            <Tabs
              label={words.views}
              tabs={[
                { key: "picture", title: words.tabs.picture },
                { key: "form", title: words.tabs.form },
              ]}
              selected={side}
              onSelect={(key) => onView(key as View)}
            >
              {beside ?? <Loading />}
            </Tabs>
          )}
        </div>
      </section>
      <section class="card edit-below" aria-label={words.panels[panels.tab]}>
        {editing && snapshot && <LowerPanels panels={panels} editing={editing} snapshot={snapshot} />}
      </section>
    </div>
  );
}

function Views({ view, onView }: Pick<PanesProps, "view" | "onView">) {
  return (
    <fieldset class="edit-views" aria-label={words.views}>
      {VIEWS.map((key) => (
        <button
          key={key}
          type="button"
          class="button"
          aria-pressed={view === key}
          onClick={() => onView(key)}
        >
          {words.tabs[key]}
        </button>
      ))}
    </fieldset>
  );
}

interface BesideProps extends Pick<PanesProps, "schema" | "blocks" | "editTurn"> {
  side: "picture" | "form";
  editing: Editing;
  snapshot: Snapshot;
  overlay: Overlay | null;
}

function Beside({ side, editing, snapshot, schema, blocks, overlay, editTurn }: BesideProps) {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (editTurn > 0) element.current?.querySelector<HTMLElement>(".form-body :is(input, select)")?.focus();
  }, [editTurn]);
  return (
    <div ref={element} class="edit-beside-content">
      {/* The picture stays as it was while the form is shown. */}
      <div class="edit-beside-content" hidden={side === "form"}>
        <FollowingPicture editing={editing} snapshot={snapshot} blocks={blocks} overlay={overlay} />
      </div>
      {side === "form" && (
        <FlowForm
          editing={editing}
          snapshot={snapshot}
          schema={schema}
          onAdd={blocks.addAt}
          onMenu={blocks.openMenu}
        />
      )}
    </div>
  );
}
