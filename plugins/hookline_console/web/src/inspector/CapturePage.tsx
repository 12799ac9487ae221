import "./inspector.css";
import { useState } from "preact/hooks";
import { useLocation, useRoute } from "preact-iso";
import { api, body } from "../api/client";
import { useResource } from "../api/resource";
import { curlOf } from "../flows/curl";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Copy } from "../ui/Copy";
import { ActionDialog } from "../ui/Dialog";
import { Empty, Loaded } from "../ui/Notices";
import { Page } from "../ui/Page";
import type { Capture } from "./captured";
import { RequestList } from "./RequestList";
import { TimeLeft, useTimeLeft } from "./TimeLeft";
import { closeCapture, openCapture, removeCapture, useCaptures } from "./useCaptures";

const words = texts.inspector;
const SAMPLE = {
  method: "POST",
  headers: [["content-type", "application/json"]],
  body: '{"hello": "world"}',
} as const;

/** The requests to the URL of one flow, as they come. */
export function CapturePage() {
  const flowId = useRoute().params.flowId ?? "";
  const captures = useCaptures();
  const capture = captures.value?.find((one) => one.flow_id === flowId);
  const flows = useResource((signal) => body(api.GET("/api/v1/flows", { signal })), []);
  const exists = flows.value?.items.some(({ id }) => id === flowId);
  const open = async () => {
    await openCapture(flowId);
    captures.reload();
  };
  return (
    <Page
      title={flowId}
      parent={{ title: texts.pages.inspector, href: "/inspector" }}
      beside={capture && <TimeLeft capture={capture} />}
      actions={
        <>
          {exists && (
            <a class="button" href={`/flows/${encodeURIComponent(flowId)}`}>
              {words.showFlow}
            </a>
          )}
          {capture && <CaptureActions capture={capture} open={open} onChange={captures.reload} />}
        </>
      }
    >
      <Loaded resource={captures}>
        {() =>
          capture ? (
            <>
              <Address url={capture.url} />
              <RequestList key={flowId} capture={capture} exists={exists ?? true} />
            </>
          ) : (
            <NotCaptured open={open} />
          )
        }
      </Loaded>
    </Page>
  );
}

function NotCaptured({ open }: { open: () => Promise<void> }) {
  return (
    <section class="card">
      <Empty title={words.notCaptured.title}>
        <p>{words.notCaptured.detail}</p>
        <p class="inspector-begin">
          <Button kind="primary" scope="author" onClick={open}>
            {words.open}
          </Button>
        </p>
      </Empty>
    </section>
  );
}

interface CaptureActionsProps {
  capture: Capture;
  open: () => Promise<void>;
  onChange: () => void;
}

function CaptureActions({ capture, open, onChange }: CaptureActionsProps) {
  const [removing, setRemoving] = useState(false);
  const { route } = useLocation();
  const isOpen = useTimeLeft(capture) !== null;
  const close = async () => {
    await closeCapture(capture.flow_id);
    onChange();
  };
  const remove = async () => {
    await removeCapture(capture.flow_id);
    route("/inspector");
  };
  return (
    <>
      <Button kind={isOpen ? "plain" : "primary"} scope="author" onClick={open}>
        {isOpen ? words.keepOpen : words.open}
      </Button>
      {isOpen && (
        <Button scope="author" onClick={close}>
          {words.close}
        </Button>
      )}
      <Button kind="danger" scope="author" onClick={() => setRemoving(true)}>
        {texts.common.delete}
      </Button>
      {removing && (
        <ActionDialog
          title={words.remove.title}
          action={texts.common.delete}
          kind="danger"
          scope="author"
          onAction={remove}
          onClose={() => setRemoving(false)}
        >
          <p>{words.remove.detail}</p>
        </ActionDialog>
      )}
    </>
  );
}

/** The URL of the flow, and a command that sends a request to it. */
function Address({ url }: { url: string }) {
  const command = curlOf({ url, ...SAMPLE });
  return (
    <section class="card inspector-address" aria-label={words.address}>
      <div class="inspector-line">
        <code class="foreign">{url}</code>
        <Copy text={url} label={words.copyUrl} />
      </div>
      <details>
        <summary>{words.curl}</summary>
        <div class="inspector-line">
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
          <pre class="tree-text foreign" tabIndex={0}>
            {command}
          </pre>
          <Copy text={command} label={words.copyCurl} />
        </div>
      </details>
    </section>
  );
}
