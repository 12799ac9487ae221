/** The copy of a draft on the server: saved some time after the text has changed, one request at a time. */

import { ApiError } from "../api/problem";
import { dropServerDraft, loadServerDraft, type ServerDraft, saveServerDraft } from "./server_drafts";

/** Somebody who types saves so often at most, since the audit log has each time. */
const APART_MS = 3000;

/** A text that couldn't be sent is sent again so much later, unless a key or a new connection leads to that before. */
const AGAIN_MS = 90_000;

export interface CopyEvents {
  /** The draft was saved: its version on the server, and its text. */
  saved: (version: string, text: string) => void;
  /** Somebody else has saved another draft, which must be seen before it is replaced. */
  conflict: (other: ServerDraft) => void;
  failed: (error: unknown) => void;
}

/** Whether the same request may succeed later: nothing answered, or the server couldn't, or there were too many. */
function isTemporary(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 0 || error.status === 429 || error.status >= 500);
}

export class ServerCopy {
  private readonly flowId: string;
  private readonly events: CopyEvents;
  /** The version of the draft on the server that the next one replaces. */
  private known: string | null;
  private wanted: { text: string; base: string | null } | null = null;
  /** The text that was sent last. The server may have it, although its answer was lost. */
  private sent: string | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private again: ReturnType<typeof setTimeout> | undefined;
  private last = 0;
  private running: Promise<void> = Promise.resolve();
  private isHeld: boolean;
  private isLeft = false;

  /** `isHeld`: nothing is saved until `choose` is called. */
  constructor(flowId: string, known: string | null, isHeld: boolean, events: CopyEvents) {
    this.flowId = flowId;
    this.known = known;
    this.isHeld = isHeld;
    this.events = events;
  }

  /** Save a text soon. */
  save(text: string, base: string | null): void {
    this.wanted = { text, base };
    if (this.isHeld || this.timer !== undefined) return;
    this.timer = setTimeout(() => this.push(), Math.max(0, this.last + APART_MS - Date.now()));
  }

  /** Go on from a draft on the server that has been seen, or from none. The next text that is saved replaces it. */
  choose(version: string | null): void {
    this.known = version;
    this.isHeld = false;
    this.wanted = null;
  }

  /** Save now what was to be saved soon, for the last time: another editor may go on. */
  leave(): void {
    this.isLeft = true;
    clearTimeout(this.again);
    if (this.timer !== undefined) this.push();
  }

  /** Save now what couldn't be saved. */
  retry(): void {
    if (this.wanted !== null && this.timer === undefined) this.push();
  }

  /** Save nothing more. Resolves once nothing is on its way. */
  end(): Promise<void> {
    this.stop();
    this.isHeld = true;
    return this.running;
  }

  /** Remove the draft. One that somebody else has saved meanwhile stays. */
  drop(): Promise<void> {
    this.stop();
    this.wanted = null;
    const done = this.running.then(() => this.dropped());
    this.running = done.catch(() => {});
    return done;
  }

  private stop(): void {
    clearTimeout(this.timer);
    clearTimeout(this.again);
    this.timer = undefined;
  }

  private failed(error: unknown): void {
    clearTimeout(this.again);
    if (!this.isLeft && isTemporary(error)) this.again = setTimeout(() => this.retry(), AGAIN_MS);
    this.events.failed(error);
  }

  private async dropped(): Promise<void> {
    const { known } = this;
    if (known === null) return;
    await dropServerDraft(this.flowId, known);
    if (this.known === known) this.known = null;
  }

  private push(): void {
    this.stop();
    this.running = this.running.then(() => this.pushed());
  }

  private async pushed(): Promise<void> {
    const { wanted, sent } = this;
    if (wanted === null || this.isHeld) return;
    this.last = Date.now();
    this.sent = wanted.text;
    try {
      this.known = await saveServerDraft(this.flowId, wanted, this.known);
      if (this.wanted === wanted) this.wanted = null;
      this.events.saved(this.known, wanted.text);
    } catch (error) {
      await this.rejected(error, [wanted.text, sent]);
    }
  }

  /** `own`: the texts that the server may have from here. */
  private async rejected(error: unknown, own: readonly (string | null)[]): Promise<void> {
    if (!(error instanceof ApiError) || error.status !== 412) return this.failed(error);
    try {
      const other = await loadServerDraft(this.flowId);
      if (other === null || own.includes(other.text)) {
        // Somebody has removed it, or it is from here: there is nothing to overwrite.
        this.known = other?.version ?? null;
        this.push();
      } else {
        this.isHeld = true;
        this.events.conflict(other);
      }
    } catch (failure) {
      this.failed(failure);
    }
  }
}
