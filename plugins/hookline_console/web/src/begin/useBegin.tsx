import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { editorUrl } from "../editor/editor_url";
import { useSession } from "../shell/SessionContext";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Dialog } from "../ui/Dialog";
import { beginDraft, type Taken, takenBy } from "./draft";

const words = texts.begin.taken;

type Place = Readonly<Record<string, string>>;

interface Begin {
  /**
   * Begin a flow with a document, in the editor. It asks first if there is a flow or a draft of this name.
   *
   * `place`: what the editor shows, see `editorUrl`.
   */
  begin: (flowId: string, make: () => object | Promise<object>, place?: Place) => Promise<void>;
  /** The question, while it is asked. */
  question: ComponentChildren;
}

interface Question {
  flowId: string;
  taken: Exclude<Taken, null>;
  replace: () => Promise<void>;
}

export function useBegin(): Begin {
  const { route } = useLocation();
  const person = useSession().me.name;
  const [question, setQuestion] = useState<Question | null>(null);
  const begin = async (flowId: string, make: () => object | Promise<object>, place: Place = {}) => {
    const replace = async () => {
      await beginDraft(person, flowId, await make());
      route(editorUrl(flowId, place));
    };
    const taken = await takenBy(person, flowId);
    if (taken === null) await replace();
    else setQuestion({ flowId, taken, replace });
  };
  return {
    begin,
    question: question && <TakenDialog {...question} onClose={() => setQuestion(null)} />,
  };
}

/** Another flow has the name. Only a draft can be replaced here: the editor changes a flow that serves. */
function TakenDialog({ flowId, taken, replace, onClose }: Question & { onClose: () => void }) {
  return (
    <Dialog
      title={words[taken].title(flowId)}
      onClose={onClose}
      actions={
        <>
          {taken === "draft" && (
            <Button kind="danger" scope="author" onClick={replace}>
              {words.replace}
            </Button>
          )}
          <a class="button button-primary" href={editorUrl(flowId)}>
            {words[taken].open}
          </a>
        </>
      }
    >
      <p>{words[taken].detail}</p>
    </Dialog>
  );
}
