import { api, body } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Failed, Loading } from "../ui/Notices";
import { Section } from "../ui/Page";
import { Time } from "../ui/Time";

const said = texts.overview;

interface Item {
  kind: string;
  severity: "error" | "warning";
  title: string;
  detail: string;
  since?: string | null;
  /** A path of the console. */
  link: string;
}

interface Found {
  items: Item[];
  checked_at: string;
}

/** What somebody should look at, the worst first; or that there is nothing. */
export function Attention() {
  const attention = useResource(
    (signal) => {
      const call: Promise<{ data?: Found }> = api.GET("/api/v1/attention", { signal });
      return body(call);
    },
    [],
    (event) => event.kind === "execution.ended",
  );
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
          {item.title}
        </a>
        {item.detail && <p class="attention-detail foreign">{item.detail}</p>}
      </div>
      <div class="attention-since muted">{item.since && <Time at={item.since} relative />}</div>
    </li>
  );
}
