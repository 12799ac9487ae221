import "./inspector.css";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { api, body } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Field } from "../ui/Field";
import { formatNumber } from "../ui/format";
import { Empty, Loaded } from "../ui/Notices";
import { Page, Section } from "../ui/Page";
import { type Column, Table } from "../ui/Table";
import { Time } from "../ui/Time";
import { showProblem } from "../ui/toasts";
import type { Capture } from "./captured";
import { TimeLeft } from "./TimeLeft";
import { captureUrl, openCapture, useCaptures } from "./useCaptures";

const words = texts.inspector;

/** The captures, and a form that opens one. */
export function Inspector() {
  const captures = useCaptures();
  return (
    <Page title={texts.pages.inspector} lead={words.lead}>
      <OpenCapture />
      <Section title={words.captures}>
        <Loaded resource={captures} lines={3}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty title={words.none.title}>
                <p>{words.none.detail}</p>
              </Empty>
            ) : (
              <Table
                label={words.captures}
                columns={COLUMNS}
                rows={rows}
                keyOf={(row) => row.flow_id}
                linkOf={(row) => captureUrl(row.flow_id)}
              />
            )
          }
        </Loaded>
      </Section>
    </Page>
  );
}

const COLUMNS: readonly Column<Capture>[] = [
  { key: "flow", title: words.columns.flow, cell: (row) => <span class="foreign">{row.flow_id}</span> },
  { key: "state", title: words.columns.state, cell: (row) => <TimeLeft capture={row} /> },
  {
    key: "requests",
    title: words.columns.requests,
    align: "right",
    cell: (row) => formatNumber(row.requests),
  },
  { key: "opened", title: words.columns.opened, from: "medium", cell: (row) => <Time at={row.opened_at} /> },
  {
    key: "by",
    title: words.columns.by,
    from: "medium",
    cell: (row) => <span class="foreign">{row.opened_by}</span>,
  },
];

/** The name of a flow, also of one that doesn't exist yet. */
function OpenCapture() {
  const [id, setId] = useState("");
  const { route } = useLocation();
  const flows = useResource((signal) => body(api.GET("/api/v1/flows", { signal })), []);
  const open = async (event: Event) => {
    event.preventDefault();
    try {
      await openCapture(id);
      route(captureUrl(id));
    } catch (error) {
      showProblem(error);
    }
  };
  return (
    <form class="card inspector-open" onSubmit={open}>
      <Field label={words.flow} hint={words.flowHint}>
        <input
          name="flow"
          list="inspector-flows"
          value={id}
          required
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => setId(event.currentTarget.value.trim())}
        />
      </Field>
      <datalist id="inspector-flows">
        {flows.value?.items.map((flow) => (
          <option key={flow.id} value={flow.id} />
        ))}
      </datalist>
      <Button kind="primary" type="submit" scope="author">
        {words.open}
      </Button>
    </form>
  );
}
