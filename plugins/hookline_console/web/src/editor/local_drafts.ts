/** Drafts in this browser: what was typed and isn't on the server yet, so that it survives a browser that dies. */

import type { FieldText } from "../code/editing";

export interface LocalDraft {
  /** The name of who wrote it. Others who sign in on this browser don't see it. */
  person: string;
  flowId: string;
  /** Null if it is still what serves. */
  text: string | null;
  /** The ETag of the flow from which it was made; null if the flow didn't exist. */
  base: string | null;
  /** The version of the draft on the server that this one continues; null if there was none. */
  kept: string | null;
  /** Whether the server got this text. */
  sent: boolean;
  /** What was typed into the form and isn't in the text yet. */
  fields: ReadonlyMap<string, FieldText>;
}

const NAME = "hookline";
const STORE = "drafts";

/** The draft of a flow, or null. */
export async function loadLocalDraft(person: string, flowId: string): Promise<LocalDraft | null> {
  const found = await run<LocalDraft | undefined>("readonly", (store) => store.get([person, flowId]));
  return found ?? null;
}

/** The ids of the flows of which somebody has a draft in this browser. */
export async function listLocalDrafts(person: string): Promise<readonly string[]> {
  const all = IDBKeyRange.bound([person], [person, []]);
  const keys = await run<[string, string][]>("readonly", (store) => store.getAllKeys(all));
  return keys.map(([, flowId]) => flowId);
}

export async function saveLocalDraft(draft: LocalDraft): Promise<void> {
  await run("readwrite", (store) => store.put(draft));
}

export async function dropLocalDraft(person: string, flowId: string): Promise<void> {
  await run("readwrite", (store) => store.delete([person, flowId]));
}

async function run<T>(mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest): Promise<T> {
  const database = await open();
  try {
    return await new Promise<T>((resolve, reject) => {
      // A browser that is killed loses what the system hasn't written to the disk.
      const transaction = database.transaction(STORE, mode, { durability: "strict" });
      const request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 2);
    request.onupgradeneeded = () => {
      const { result } = request;
      // Those of the first version belong to nobody.
      if (result.objectStoreNames.contains(STORE)) result.deleteObjectStore(STORE);
      result.createObjectStore(STORE, { keyPath: ["person", "flowId"] });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
