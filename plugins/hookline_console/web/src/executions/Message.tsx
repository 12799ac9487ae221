import { useState } from "preact/hooks";
import type { Schemas } from "../api/client";
import { texts } from "../texts";
import { Facts, Section } from "../ui/Page";
import { Tabs } from "../ui/Tabs";
import { Time } from "../ui/Time";
import { ValuesTree } from "./ValuesTree";

/** The message that started an execution, and how it came. */
export function Message({ execution }: { execution: Schemas["ExecutionView"] }) {
  const words = texts.executions.message;
  const [tab, setTab] = useState("body");
  const trigger: Readonly<Record<string, unknown>> = execution.trigger;
  const known: readonly (readonly [string, unknown])[] = [
    [words.trigger, trigger.use],
    [words.request, trigger.method && `${trigger.method} ${trigger.path ? `/${trigger.path}` : ""}`.trim()],
    [words.verifiedBy, trigger.verified_by],
    [words.client, trigger.client],
  ];
  return (
    <Section title={words.title}>
      <Facts
        facts={[
          [words.accepted, <Time key="accepted" at={execution.created_at} />],
          ...known
            .filter(([, value]) => value !== null && value !== undefined && value !== "")
            .map(([name, value]) => [name, String(value)] as const),
        ]}
      />
      <Tabs
        label={words.values}
        tabs={[
          { key: "body", title: words.tabs.body },
          { key: "headers", title: words.tabs.headers },
          { key: "attachments", title: words.tabs.attachments },
        ]}
        selected={tab}
        onSelect={setTab}
      >
        <ValuesTree
          key={tab}
          label={tab}
          place={{ execution: execution.id }}
          turn=""
          part={tab}
          root={`trigger.${tab}`}
          empty={words.empty}
        />
      </Tabs>
    </Section>
  );
}
