import { texts } from "../texts";
import { Button } from "./Button";
import { showToast } from "./toasts";

/** A button that copies a text. */
export function Copy({ text, label }: { text: string | (() => string); label?: string }) {
  const copy = async () => {
    await navigator.clipboard.writeText(typeof text === "string" ? text : text());
    showToast(texts.common.copied);
  };
  return (
    <Button kind="quiet" small onClick={copy} label={label ?? texts.common.copy}>
      {label ?? texts.common.copy}
    </Button>
  );
}
