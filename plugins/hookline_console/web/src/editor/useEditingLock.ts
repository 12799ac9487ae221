import { useEffect, useState } from "preact/hooks";
import { EditingLock } from "./editing_lock";

/** Whether this tab edits a flow, or another one. Null while that isn't known yet. */
export function useEditingLock(name: string): EditingLock | null {
  const [, show] = useState(0);
  const [lock, setLock] = useState<EditingLock | null>(null);
  useEffect(() => {
    const begun = new EditingLock(name, () => show((turn) => turn + 1));
    setLock(begun);
    begun.begin();
    return () => begun.end();
  }, [name]);
  return lock?.name !== name || lock.isHeld === undefined ? null : lock;
}
