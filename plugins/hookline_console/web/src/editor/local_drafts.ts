/** Drafts in this browser: what was typed and isn't on the server yet, so that it survives a browser that dies. */

export interface LocalDraft {
  flowId: string;
  text: string;
  /** The ETag of the flow from which it was made; null if the flow didn't exist. */
  base: string | null;
  /** The version of the draft on the server that this one continues; null if there was none. */
  kept: string | null;
  savedAt: string;
}

const NAME = "hookline";
const STORE = "drafts";

/** The draft of a flow, or null. */
export async function loadLocalDraft(flowId: string): Promise<LocalDraft | null> {
  return (await run<LocalDraft | undefined>("readonly", (store) => store.get(flowId))) ?? null;
}

/** The ids of the flows that have a draft in this browser. */
export async function listLocalDrafts(): Promise<readonly string[]> {
  return (await run<IDBValidKey[]>("readonly", (store) => store.getAllKeys())).map(String);
}

export async function saveLocalDraft(draft: LocalDraft): Promise<void> {
  await run("readwrite", (store) => store.put(draft));
}

export async function dropLocalDraft(flowId: string): Promise<void> {
  await run("readwrite", (store) => store.delete(flowId));
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
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "flowId" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
