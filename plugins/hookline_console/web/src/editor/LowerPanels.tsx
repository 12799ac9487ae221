import { BacktestPanel } from "../backtest/BacktestPanel";
import type { Editing, Snapshot } from "../code/editing";
import { Lab } from "../lab/Lab";
import { texts } from "../texts";
import { CasesPanel } from "../trying/CasesPanel";
import { TryPanel } from "../trying/TryPanel";
import { Tabs } from "../ui/Tabs";
import { ProblemList } from "./ProblemList";
import { type LowerPanelsState, PANELS, type PanelName } from "./useLowerPanels";

const words = texts.editor.panels;

interface LowerPanelsProps {
  panels: LowerPanelsState;
  editing: Editing;
  snapshot: Snapshot;
}

/** The panels below the text and the picture: the problems, and how the text is tried. */
export function LowerPanels({ panels, editing, snapshot }: LowerPanelsProps) {
  const count = snapshot.checked?.problems.length ?? 0;
  const tabs = PANELS.map((key) => ({
    key,
    title: words[key],
    ...(key === "problems" && count > 0 && { count }),
  }));
  return (
    <Tabs
      label={words.label}
      tabs={tabs}
      selected={panels.tab}
      onSelect={(key) => panels.open(key as PanelName)}
    >
      <Panel panels={panels} editing={editing} snapshot={snapshot} />
    </Tabs>
  );
}

function Panel({ panels, editing, snapshot }: LowerPanelsProps) {
  const { flowId, exists, message, trying, cases, backtesting, open } = panels;
  const tryIt = (kind: "case" | "execution") => (id: string) => {
    message.choose({ kind, id });
    open("try");
  };
  switch (panels.tab) {
    case "lab":
      return <Lab editing={editing} snapshot={snapshot} message={message} turn={panels.turn} />;
    case "try":
      return (
        <TryPanel
          flowId={flowId}
          exists={exists}
          editing={editing}
          message={message}
          trying={trying}
          onSaved={() => open("cases")}
        />
      );
    case "cases":
      return <CasesPanel editing={editing} message={message} runs={cases} onTry={tryIt("case")} />;
    case "backtest":
      return (
        <BacktestPanel exists={exists} editing={editing} testing={backtesting} onTry={tryIt("execution")} />
      );
    default:
      return <ProblemList checked={snapshot.checked} editing={editing} />;
  }
}
