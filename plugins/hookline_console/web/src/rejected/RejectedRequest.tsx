import "./rejected.css";
import type { Schemas } from "../api/client";
import { Text } from "../json/Text";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { formatBytes } from "../ui/format";
import { Time } from "../ui/Time";

const words = texts.rejected;

interface RejectedRequestProps {
  request: Schemas["RejectedView"];
  /** Say which flow rejected it. */
  withFlow?: boolean;
}

/** A rejected request, and the reason. */
export function RejectedRequest({ request, withFlow }: RejectedRequestProps) {
  return (
    <div class="rejected">
      <div class="rejected-head">
        <Badge tone={request.status >= 500 ? "warn" : "bad"}>{request.status}</Badge>
        <code class="foreign">{request.code}</code>
        {withFlow && request.flow_id !== words.unknownFlow.id && (
          <a class="foreign" href={`/flows/${encodeURIComponent(request.flow_id)}?tab=rejected`}>
            {request.flow_id}
          </a>
        )}
        <span class="rejected-when muted">
          <Time at={request.at} relative />
        </span>
      </div>
      <p class="foreign">
        <Text>{request.detail}</Text>
      </p>
      <p class="muted foreign">
        {request.method} /hook/<Text>{request.path}</Text> · {formatBytes(request.size)}
        {request.client && ` · ${words.from(request.client)}`}
      </p>
      {request.body !== null && (
        <details>
          <summary>{words.body}</summary>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
          <pre class="code-block foreign" tabIndex={0}>
            <Text lines>{request.body}</Text>
          </pre>
        </details>
      )}
    </div>
  );
}
