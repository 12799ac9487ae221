import { useState } from "preact/hooks";
import { api } from "../api/client";
import { useResource } from "../api/resource";
import { member, parse, print } from "../json/json";
import { texts } from "../texts";
import { saveCase } from "../trying/cases";
import { ActionDialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { Loaded } from "../ui/Notices";
import { showToast } from "../ui/toasts";
import type { DialogProps } from "./dialogs";

/** Save an execution as a test case of its flow, as `hookline test --record` does. */
export function CaseDialog({ execution, onClose }: DialogProps) {
  const words = texts.executions.dialogs.case;
  const [name, setName] = useState(`${execution.outcome ?? execution.state} ${execution.id.slice(-8)}`);
  const params = { path: { execution_id: execution.id }, query: { name } };
  // The name is typed after the case was made, and put into it when it is saved.
  const made = useResource(
    async (signal) => {
      const { data } = await api.GET("/api/v1/executions/{execution_id}/case", {
        params,
        signal,
        parseAs: "text",
      });
      return parse(data as string);
    },
    [execution.id],
  );
  const save = async () => {
    const recorded = member(made.value, "case");
    if (recorded?.kind !== "object") return;
    const named = {
      ...recorded,
      entries: recorded.entries.map(([key, of]) =>
        key === "name" ? ([key, { kind: "string", text: name }] as const) : ([key, of] as const),
      ),
    };
    await saveCase(execution.flow_id, named);
    showToast(words.done(execution.flow_id));
  };
  return (
    <ActionDialog
      title={words.title}
      wide
      onClose={onClose}
      action={words.action}
      scope="author"
      onAction={save}
      disabled={made.value === undefined || name.trim() === ""}
    >
      <p>{words.explanation(execution.flow_id)}</p>
      <Field label={words.name}>
        <input maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </Field>
      <Loaded resource={made} lines={5}>
        {(value) => {
          const left = member(value, "left_out");
          const items = left?.kind === "array" ? left.items : [];
          return (
            <>
              {items.length > 0 && (
                <div>
                  <p>{words.leftOut}</p>
                  <ul class="dialog-list">
                    {items.map((one) => (
                      <li key={print(one)} class="foreign">
                        {one.kind === "string" ? one.text : print(one)}
                      </li>
                    ))}
                  </ul>
                </div>
              )}
              {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
              <pre class="tree-text foreign" tabIndex={0}>
                {print(member(value, "case") ?? { kind: "null" })}
              </pre>
            </>
          );
        }}
      </Loaded>
    </ActionDialog>
  );
}
