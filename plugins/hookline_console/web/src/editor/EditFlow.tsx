import { useRoute } from "preact-iso";
import { useResource } from "../api/resource";
import { useAllows, useSession } from "../shell/SessionContext";
import { Loaded, Loading } from "../ui/Notices";
import type { EditingLock } from "./editing_lock";
import { open } from "./opening";
import { useEditingLock } from "./useEditingLock";
import { Workbench } from "./Workbench";

/** The page on which a flow is written: its JSON, its picture, and what is wrong with it. */
export function EditFlow() {
  const id = useRoute().params.id ?? "";
  const person = useSession().me.name;
  const lock = useEditingLock(`hookline-editing ${person} ${id}`);
  if (lock === null) return <Loading />;
  // It is opened anew when another tab has gone on.
  return <OpenFlow key={`${lock.isHeld} ${id}`} id={id} person={person} lock={lock} />;
}

function OpenFlow({ id, person, lock }: { id: string; person: string; lock: EditingLock }) {
  const isAuthor = useAllows("author");
  const mayWrite = isAuthor && lock.isHeld === true;
  const opened = useResource((signal) => open(id, { person, mayWrite }, signal), [id, person]);
  return <Loaded resource={opened}>{(value) => <Workbench opened={value} lock={lock} />}</Loaded>;
}
