import { useEffect, useRef, useState } from "preact/hooks";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { Copy } from "../ui/Copy";
import { Field } from "../ui/Field";
import { Empty } from "../ui/Notices";
import { base64OfText, curlOf, textOfBase64 } from "./curl";
import { exampleBody } from "./example_message";

const words = texts.flows.request;
const EXAMPLE = { body: "{}", mediaType: "application/json", method: "POST" };

type FlowView = Schemas["FlowView"];
type Sent = Schemas["SentMessage"];

interface Message {
  body: string;
  mediaType: string;
  method: string;
}

/** The URL of a flow, a command for it, and a message that the server sends as the provider would. */
export function RequestPanel({ flow, document }: { flow: FlowView; document: unknown }) {
  if (flow.url === null)
    return (
      <Empty title={`${words.noAddress} ${flow.trigger ?? "–"}`}>
        <p>{words.startHint}</p>
      </Empty>
    );
  return <Request flow={flow} url={flow.url} scheme={schemeOf(document)} />;
}

function Request({ flow, url, scheme }: { flow: FlowView; url: string; scheme: string | null }) {
  const [message, setMessage] = useState<Message>(EXAMPLE);
  const [touched, setTouched] = useState(false);
  const [signed, sign] = useAnswer<Schemas["SignedMessage"]>(message);
  const [sent, send] = useAnswer<Sent>(message);
  const example = useExample(flow.id);
  useEffect(() => {
    if (example !== undefined && !touched) setMessage((before) => ({ ...before, body: example }));
  }, [example, touched]);
  const change = (changes: Partial<Message>) => {
    setTouched(true);
    setMessage({ ...message, ...changes });
  };
  const path = { flow_id: flow.id };
  const unsigned = {
    body: base64OfText(message.body),
    method: message.method,
    headers: [["content-type", message.mediaType]],
  };
  const request = { params: { path }, body: unsigned };
  const command = curlOf({
    url,
    method: message.method,
    headers: [["content-type", message.mediaType], ...pairs(signed?.headers ?? [])],
    body: signed ? (textOfBase64(signed.body) ?? message.body) : message.body,
  });
  return (
    <div class="panel-body">
      <div>
        <div class="panel-row">
          <h2>{words.address}</h2>
          <Copy text={url} />
        </div>
        <code class="foreign">{url}</code>
        <p>
          <a href={`/inspector/${encodeURIComponent(flow.id)}`}>{words.inspect}</a>
        </p>
      </div>
      <Field label={words.body} hint={words.bodyHint}>
        <textarea
          rows={8}
          spellcheck={false}
          value={message.body}
          onInput={(event) => change({ body: event.currentTarget.value })}
        />
      </Field>
      <div class="request-fields">
        <Field label={words.method}>
          <select value={message.method} onChange={(event) => change({ method: event.currentTarget.value })}>
            {["POST", "PUT", "PATCH", "GET", "DELETE"].map((method) => (
              <option key={method}>{method}</option>
            ))}
          </select>
        </Field>
        <Field label={words.mediaType}>
          <input
            value={message.mediaType}
            onInput={(event) => change({ mediaType: event.currentTarget.value })}
          />
        </Field>
      </div>
      <div class="request-send">
        <Button
          kind="primary"
          scope="operate"
          onClick={() => send(body(api.POST("/api/v1/flows/{flow_id}/send", request)))}
        >
          {words.send}
        </Button>
        <p class="muted">{words.sendHint}</p>
      </div>
      {sent && <Reply sent={sent} />}
      <div>
        <div class="panel-row">
          <h2>{words.curl}</h2>
          <span class="cluster">
            {scheme && (
              <Button
                kind="quiet"
                small
                scope="operate"
                onClick={() => sign(body(api.POST("/api/v1/flows/{flow_id}/sign", request)))}
              >
                {words.sign}
              </Button>
            )}
            <Copy text={command} />
          </span>
        </div>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
        <pre class="code-block foreign" tabIndex={0}>
          {command}
        </pre>
        {scheme && <p class="muted">{signed ? words.signed : words.curlUnsigned(scheme)}</p>}
      </div>
    </div>
  );
}

/** The answer to a request with a message, and the function that waits for it. It is dropped with the message. */
function useAnswer<T>(message: Message): [T | null, (request: Promise<T>) => Promise<void>] {
  const [last, setLast] = useState<{ message: Message; answer: T } | null>(null);
  const latest = useRef(message);
  latest.current = message;
  const wait = async (request: Promise<T>) => {
    const answer = await request;
    if (latest.current === message) setLast({ message, answer });
  };
  return [last?.message === message ? last.answer : null, wait];
}

function Reply({ sent }: { sent: Sent }) {
  const text = textOfBase64(sent.body);
  return (
    <div role="status">
      <div class="panel-row">
        <span class="cluster">
          <h2>{words.reply}</h2>
          <Badge tone={sent.status < 400 ? "ok" : "bad"}>{sent.status}</Badge>
        </span>
        {sent.execution_id && <a href={`/executions/${sent.execution_id}`}>{words.execution}</a>}
      </div>
      {sent.body === "" ? (
        <p class="muted">{words.emptyReply}</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
        <pre class="code-block foreign" tabIndex={0}>
          {text ?? words.binary}
        </pre>
      )}
      {sent.truncated && <p class="muted">{words.truncated}</p>}
    </div>
  );
}

/** The body of a flow's first test case; undefined until it is known. */
function useExample(flowId: string): string | undefined {
  const params = { path: { flow_id: flowId } };
  return useResource(
    async (signal) => {
      // As text, because numbers may have many digits.
      const { data } = await api.GET("/api/v1/flows/{flow_id}/cases", { params, signal, parseAs: "text" });
      return exampleBody(data as string);
    },
    [flowId],
  ).value;
}

/** The scheme with which a flow's requests are signed; null if they aren't. */
function schemeOf(document: unknown): string | null {
  const flow = document as { trigger?: { with?: { verify?: unknown } } } | undefined;
  const verify = flow?.trigger?.with?.verify;
  const scheme =
    typeof verify === "object" && verify !== null ? (verify as { scheme?: unknown }).scheme : verify;
  return typeof scheme === "string" && scheme !== "none" ? scheme : null;
}

function pairs(headers: readonly (readonly string[])[]): [string, string][] {
  return headers.map(([name = "", value = ""]) => [name, value]);
}
