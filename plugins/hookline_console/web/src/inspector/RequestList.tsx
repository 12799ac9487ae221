import { useState } from "preact/hooks";
import { Text } from "../json/Text";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { formatBytes } from "../ui/format";
import { Empty, Loaded } from "../ui/Notices";
import { Time } from "../ui/Time";
import { type Capture, type CapturedInfo, shownRequest, TONES } from "./captured";
import { RequestDetails } from "./RequestDetails";
import { useTimeLeft } from "./TimeLeft";
import { useCapturedRequests } from "./useCaptures";

const words = texts.inspector;

interface RequestListProps {
  capture: Capture;
  /** Whether there is a flow of this name. */
  exists: boolean;
}

/**
 * The captured requests, and the details of the chosen one: the newest, until another one is chosen, or the details are
 * used. Then they stay, also when the request is no longer kept.
 */
export function RequestList({ capture, exists }: RequestListProps) {
  const requests = useCapturedRequests(capture.flow_id);
  const [choice, setChoice] = useState<CapturedInfo | null>(null);
  return (
    <Loaded resource={requests} lines={4}>
      {(rows) => {
        const shown = shownRequest(rows, choice);
        return (
          <div class="inspector">
            <section class="card" aria-label={words.requests}>
              <p class="inspector-count" role="status">
                {words.count(rows.length)}
              </p>
              {rows.length > 0 ? (
                <ul class="inspector-list">
                  {rows.map((row) => (
                    <li key={row.id}>
                      <Row request={row} chosen={row === shown?.info} onChoose={() => setChoice(row)} />
                    </li>
                  ))}
                </ul>
              ) : (
                <Nothing capture={capture} />
              )}
            </section>
            {shown && (
              <RequestDetails
                key={shown.info.id}
                flowId={capture.flow_id}
                {...shown}
                exists={exists}
                onUse={() => setChoice(shown.info)}
              />
            )}
          </div>
        );
      }}
    </Loaded>
  );
}

interface RowProps {
  request: CapturedInfo;
  chosen: boolean;
  onChoose: () => void;
}

function Row({ request, chosen, onChoose }: RowProps) {
  return (
    <button type="button" class="inspector-row" aria-pressed={chosen} onClick={onChoose}>
      <span class="inspector-row-head">
        <code>{request.method}</code>
        <Badge tone={TONES[request.result]}>{words.results[request.result]}</Badge>
        <span class="inspector-when muted">
          <Time at={request.at} />
        </span>
      </span>
      <span class="inspector-row-detail foreign">
        <Text>{request.reason ?? request.content_type ?? words.noType}</Text>
        {request.reason === null && ` · ${formatBytes(request.size)}`}
      </span>
    </button>
  );
}

function Nothing({ capture }: { capture: Capture }) {
  const nothing = useTimeLeft(capture) === null ? words.nothing : words.waiting;
  return (
    <Empty title={nothing.title}>
      <p>{nothing.detail}</p>
    </Empty>
  );
}
