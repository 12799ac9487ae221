import { useMemo, useState } from "preact/hooks";
import { path } from "../json/json";
import { Text } from "../json/Text";
import { Tree } from "../json/Tree";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Copy } from "../ui/Copy";
import { formatBytes } from "../ui/format";
import { Empty } from "../ui/Notices";
import { type CapturedRequest, jsonBody } from "./captured";

const words = texts.inspector;
/** Characters of a text that are shown at first. */
const SHOWN = 4_000;

/** The body of a captured request: JSON as a tree, any other text as it is. */
export function RequestBody({ request }: { request: CapturedRequest }) {
  const { body, encoding, left_out } = request;
  const json = useMemo(() => jsonBody(request), [body, encoding]);
  if (left_out !== null)
    return (
      <Empty title={words.leftOut}>
        <p class="foreign">{left_out}</p>
      </Empty>
    );
  if (!body) return <Empty title={words.emptyBody} />;
  if (encoding === "base64")
    return (
      <Empty title={words.binary(formatBytes(request.size))}>
        <Copy text={body} label={words.copyBase64} />
      </Empty>
    );
  if (json) return <Tree label={words.tabs.body} json={json} pathOf={(keys) => path("$.body", keys)} />;
  return <BodyText text={body} />;
}

function BodyText({ text }: { text: string }) {
  const [all, setAll] = useState(text.length <= SHOWN);
  return (
    <div class="inspector-text">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
      <pre class="tree-text foreign" tabIndex={0}>
        <Text lines>{all ? text : `${text.slice(0, SHOWN)}…`}</Text>
      </pre>
      <div class="cluster">
        <Copy text={text} label={texts.json.copyAll} />
        {!all && (
          <Button kind="quiet" small onClick={() => setAll(true)}>
            {words.showAll(text.length)}
          </Button>
        )}
      </div>
    </div>
  );
}
