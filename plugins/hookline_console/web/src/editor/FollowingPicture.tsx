import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { actOf } from "../blocks/keys";
import type { Blocks } from "../blocks/useBlocks";
import type { Editing, Snapshot } from "../code/editing";
import { chartOfDocument, type FlowDocument, flowId } from "../document/flow_document";
import type { Chart } from "../picture/chart";
import { foldsAtFirst, revealed, selectedAfter, toggled } from "../picture/folding";
import { Picture } from "../picture/Picture";
import { traceOf } from "../picture/trace";
import { texts } from "../texts";
import type { Overlay } from "./useLowerPanels";

const NO_COUNTS = {};
const NO_BEATS: ReadonlyMap<string, number> = new Map();

interface FollowingPictureProps {
  editing: Editing;
  snapshot: Snapshot;
  blocks: Blocks;
  /** What a run or the cases show in it. */
  overlay: Overlay | null;
}

/** The chart of a document. It stays the same object while nothing changes in it, so that it isn't drawn again. */
function useChart(document: FlowDocument): Chart {
  const last = useRef<{ json: string; chart: Chart } | null>(null);
  return useMemo(() => {
    const chart = chartOfDocument(document);
    const json = JSON.stringify(chart);
    if (last.current?.json !== json) last.current = { json, chart };
    return last.current.chart;
  }, [document]);
}

/** The picture, which follows the text. */
export function FollowingPicture({ editing, snapshot, blocks, overlay }: FollowingPictureProps) {
  const { document, selected } = snapshot;
  const chart = useChart(document);
  const ran = overlay?.ran;
  const trace = useMemo(() => (ran ? traceOf(chart, ran.steps, ran.succeeded) : null), [chart, ran]);
  const [folded, setFolded] = useState(() => foldsAtFirst(chart));
  const shown = selected === null ? folded : revealed(folded, selected);
  useEffect(() => setFolded((before) => revealed(before, selected ?? "")), [selected]);
  const fold = (made: ReadonlySet<string>) => {
    const to = selectedAfter(made, selected);
    // Otherwise the block around the selected step would be unfolded at once.
    if (to !== null && to !== selected) editing.reveal(to);
    setFolded(made);
  };
  return (
    <Picture
      chart={chart}
      label={texts.flows.page.flow(flowId(document), chart.trigger)}
      folded={shown}
      onFold={fold}
      onToggle={(pointer) => fold(toggled(shown, pointer))}
      selected={selected}
      onSelect={(pointer) => editing.reveal(pointer)}
      counts={NO_COUNTS}
      beats={NO_BEATS}
      trace={trace}
      uncovered={overlay?.uncovered}
      focusTurn={blocks.focusTurn}
      {...(!editing.view.state.readOnly && { onDrop: blocks.drop })}
      onMenu={(_, at) => blocks.openMenu(at, { inPicture: true })}
      onKey={(event) => {
        const act = actOf(event);
        const box = (event.target as Element).closest("[data-pointer]")?.getBoundingClientRect();
        if (act === "menu" && box) blocks.openMenu({ x: box.left, y: box.bottom + 4 }, { inPicture: true });
        else if (act) blocks.act(act, { inPicture: true });
        return act !== undefined;
      }}
    />
  );
}
