import { useState } from "preact/hooks";
import type { Schemas } from "../api/client";
import { ErrorBox } from "../executions/StepDetails";
import { isEmpty } from "../executions/values";
import { NULL, path } from "../json/json";
import { Tree } from "../json/Tree";
import type { Message } from "../lab/useMessage";
import { texts } from "../texts";
import { StateBadge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { Empty } from "../ui/Notices";
import { Tabs } from "../ui/Tabs";
import { stubOf, type TriedRun, takesStub } from "./tried_run";

const words = texts.trying;
const names = texts.executions.step;

interface TriedStepProps {
  tried: TriedRun;
  step: Schemas["LatestView"];
  message: Message;
}

/** A step of a run: what it got and gave, and the button that keeps its result for further runs. */
export function TriedStep({ tried, step, message }: TriedStepProps) {
  const [tab, setTab] = useState<"output" | "input">(step.error ? "input" : "output");
  const values = tried.values.get(step.path) ?? { input: NULL, output: NULL };
  const stub = stubOf(values.output, step.error);
  const isPinned = message.pins.has(step.path);
  const json = values[tab];
  return (
    <section aria-label={step.path}>
      <div class="try-head">
        <h2 class="try-name foreign">{step.path}</h2>
        <StateBadge state={step.state} />
        <span class="muted">
          {tried.view.stubbed.includes(step.path) ? words.wasStubbed(step.use) : step.use}
        </span>
        {stub && takesStub(step) && (
          <Button small onClick={() => message.pin(step.path, isPinned ? null : stub)}>
            {isPinned ? words.unpinResult : words.pin}
          </Button>
        )}
      </div>
      {step.error && <ErrorBox error={step.error} />}
      <Tabs
        label={names.values}
        tabs={[
          { key: "output", title: names.tabs.output },
          { key: "input", title: names.tabs.input },
        ]}
        selected={tab}
        onSelect={(key) => setTab(key as typeof tab)}
      >
        {isEmpty(json) ? (
          <Empty title={tab === "input" ? names.noInput : names.noOutput} />
        ) : (
          <Tree
            key={tab}
            label={names.tabs[tab]}
            json={json}
            pathOf={(keys) => path(tab === "output" ? `steps.${step.id}` : "$", keys)}
          />
        )}
      </Tabs>
    </section>
  );
}
