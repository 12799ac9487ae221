import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { Text } from "../json/Text";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Failed, Loading } from "../ui/Notices";
import { Section } from "../ui/Page";
import { Time } from "../ui/Time";
import { useRefresh } from "../ui/useRefresh";

const said = texts.overview;

/** Much of it comes with time, which no event tells, and the server uses a report again for two seconds. */
const REFRESH_MS = 10_000;

type Item = Schemas["AttentionItemView"];

/** What somebody should look at, the worst first; or that there is nothing. */
export function Attention() {
  const attention = useResource(
    (signal) => body(api.GET("/api/v1/attention", { signal })),
    [],
    (event) => event.kind === "execution.ended",
    REFRESH_MS,
  );
  useRefresh(attention.reload, REFRESH_MS);
  const found = attention.value;
  const items = found?.items ?? [];
  return (
    <Section
      title={said.attention}
      beside={items.length > 0 && <Badge tone="bad">{String(items.length)}</Badge>}
      actions={
        found && (
          <span class="muted attention-checked">
            {said.checked} <Time at={found.checked_at} />
          </span>
        )
      }
    >
      {found === undefined &&
        (attention.error === undefined ? (
          <Loading lines={3} />
        ) : (
          <Failed error={attention.error} retry={attention.reload} />
        ))}
      {found && items.length === 0 && (
        <p class="attention-none">
          <Badge tone="ok">{said.allWell}</Badge>
          {said.nothing}
        </p>
      )}
      {items.length > 0 && (
        <ul class="attention">
          {items.map((item) => (
            <AttentionItem key={`${item.kind} ${item.link} ${item.title}`} item={item} />
          ))}
        </ul>
      )}
    </Section>
  );
}

function AttentionItem({ item }: { item: Item }) {
  return (
    <li class={`attention-item attention-${item.severity}`}>
      <div class="attention-text">
        <a href={item.link} class="attention-title foreign">
          <Text>{item.title}</Text>
        </a>
        {item.detail && (
          <p class="attention-detail foreign">
            <Text>{item.detail}</Text>
          </p>
        )}
      </div>
      <div class="attention-since muted">{item.since && <Time at={item.since} relative />}</div>
    </li>
  );
}
