import { useResource } from "../api/resource";
import { DifferenceList } from "../flows/Differences";
import { texts } from "../texts";
import { Loaded } from "../ui/Notices";
import { changesOf } from "./deployment";

const words = texts.editor.differences;

interface TextDifferencesProps {
  text: string;
  /** The version or the ETag of the flow from which it was made; null for a new flow. */
  base: string | null;
  /** Show a step, by its id. */
  onStep?: (id: string) => void;
}

/** What a text changes in meaning, compared with the version that serves. */
export function TextDifferences({ text, base, onStep }: TextDifferencesProps) {
  const found = useResource(() => changesOf(text, base), [text, base]);
  return (
    <Loaded resource={found} lines={3}>
      {(differences) => (
        <DifferenceList differences={differences} none={noChanges(base)} {...(onStep && { onStep })} />
      )}
    </Loaded>
  );
}

/** What is said if there are no differences. */
export function noChanges(base: string | null): string {
  return base === null ? words.isNew : words.none;
}
