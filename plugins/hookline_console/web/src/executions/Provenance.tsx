import "./provenance.css";
import { api } from "../api/client";
import { ApiError } from "../api/problem";
import { useResource } from "../api/resource";
import { parse, print } from "../json/json";
import { Text } from "../json/Text";
import { texts } from "../texts";
import { Loaded } from "../ui/Notices";
import { type Explained, explainedOf } from "./explained";

/** Where a value comes from: the expression that made it, the values that this read, and so on, back to the message. */
export function Provenance({ execution, field }: { execution: string; field: string }) {
  const words = texts.executions.provenance;
  const resource = useResource(
    async (signal) => {
      const params = { path: { execution_id: execution }, query: { field, short: true } };
      try {
        const path = "/api/v1/executions/{execution_id}/provenance";
        const { data } = await api.GET(path, { params, signal, parseAs: "text" });
        return explainedOf(JSON.parse(data as string), parse(data as string));
      } catch (error) {
        // It isn't known where some values come from, which is no failure.
        if (error instanceof ApiError && error.code === "execution.not_explained") return error.detail;
        throw error;
      }
    },
    [execution, field],
  );
  return (
    <section class="provenance" aria-label={words.title}>
      <h3>{words.title}</h3>
      <Loaded resource={resource} lines={2}>
        {(origin) =>
          typeof origin === "string" ? <p class="muted foreign">{origin}</p> : <Origin origin={origin} own />
        }
      </Loaded>
    </section>
  );
}

/** Characters of a value that are shown. */
const SHORT = 120;

export function Origin({ origin, own = false }: { origin: Explained; own?: boolean }) {
  const words = texts.executions.provenance;
  const value = print(origin.value, "");
  return (
    <div class="provenance-origin">
      {!own && (
        <p>
          <code>
            <Text>{origin.field}</Text>
          </code>
          {origin.known && (
            <span class="provenance-value">
              {" = "}
              <Text>{value.length > SHORT ? `${value.slice(0, SHORT)}…` : value}</Text>
            </span>
          )}
        </p>
      )}
      {origin.made_by.map((maker) => (
        <p key={maker.pointer} class="provenance-maker">
          <span class="muted">{words.madeBy} </span>
          {maker.expression === "" ? words.constant : <code class="foreign">{maker.expression}</code>}
          <span class="muted" title={maker.file ?? undefined}>
            {" "}
            {maker.line === null ? maker.pointer : words.line(maker.pointer, maker.line)}
          </span>
        </p>
      ))}
      {origin.note && <p class="muted foreign">{origin.note}</p>}
      {origin.reads.length > 0 && (
        <ul>
          {origin.reads.map((read) => (
            <li key={read.field}>
              <Origin origin={read} />
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
