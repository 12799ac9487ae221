/** The draft of a flow: in this browser at once, and on the server soon, until it is deployed or discarded. */

import type { Editing } from "../code/editing";
import { rollBack } from "./deployment";
import { baseOf } from "./draft_choice";
import { dropLocalDraft, saveLocalDraft } from "./local_drafts";
import { freshText, loadFlow, type Opened } from "./opening";
import { ServerCopy } from "./server_copy";
import type { ServerDraft } from "./server_drafts";

/** What is typed is in the browser's storage so soon. */
const SAVE_MS = 800;

/** `saved`: the server has it. `local`: it is in this browser only, since it couldn't be sent. */
export type DraftState = "none" | "saving" | "saved" | "local" | "failed";

export class DraftKeeper {
  state: DraftState;
  /** The ETag of the flow from which it was made, or null; a deployment replaces this version, and no other. */
  base: string | null;
  /** Another draft of the flow on the server, which somebody has to look at before it is replaced. */
  other: ServerDraft | null;

  private readonly opened: Opened;
  private readonly onChange: () => void;
  private readonly copy: ServerCopy;
  private editing: Editing | null = null;
  /** The editor is closed. There may be another one, which keeps its own text in this browser. */
  private isDetached = false;
  /** The state of the text that is kept; another one may be typed already. */
  private settled: DraftState;
  /** The text that is kept, or that serves. */
  private text: string;
  /** The version of the draft on the server that it continues. */
  private version: string | null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** The last write in this browser. They are made in turn, so that none comes after the draft was dropped. */
  private written: Promise<void> = Promise.resolve();

  /** `onChange` is called when there is something else to show. */
  constructor(opened: Opened, onChange: () => void) {
    this.opened = opened;
    this.onChange = onChange;
    this.other = opened.other;
    this.settled = !opened.draft ? "none" : opened.isSent ? "saved" : this.staysHere ? "local" : "saving";
    this.state = this.settled;
    this.base = opened.base;
    this.text = opened.text;
    this.version = opened.known;
    this.copy = new ServerCopy(opened.flowId, opened.known, this.staysHere, {
      saved: (version, text) => this.savedOnServer(version, text),
      conflict: (other) => {
        this.other = other;
        this.notSent();
      },
      failed: () => this.notSent(),
    });
  }

  /** Keep what is written in an editor. Returns a function that ends this. */
  attach(editing: Editing): () => void {
    this.editing = editing;
    const stop = editing.onText(() => this.typed());
    window.addEventListener("pagehide", this.save);
    if (this.opened.draft && !this.opened.isSent) this.copy.save(this.text, this.base);
    return () => {
      stop();
      window.removeEventListener("pagehide", this.save);
      this.isDetached = true;
      this.save().then(() => this.copy.flush());
    };
  }

  /** Save at once what isn't saved yet. */
  save = (): Promise<void> => {
    this.stopWaiting();
    return this.inTurn(async () => {
      const isTriedAgain = this.opened.mayWrite && (this.settled === "local" || this.settled === "failed");
      if (this.textNow() !== this.text || isTriedAgain) await this.keep();
      else this.show(this.settled);
    });
  };

  /** Go on with the text in the editor from another version of the flow, which has been seen. */
  rebase(base: string | null): Promise<void> {
    this.base = base;
    this.onChange();
    return this.inTurn(() => this.keep());
  }

  /** Go on with the other draft. That in the editor can be brought back by undoing. */
  takeOther = async (): Promise<void> => {
    const { other } = this;
    if (!other) return;
    this.base = baseOf(other, await this.tagNow());
    this.editing?.replace(other.text);
    this.choose(other);
    await this.inTurn(() => this.keep());
  };

  /** Go on with the text in the editor, which replaces the other draft. */
  keepMine = async (): Promise<void> => {
    if (!this.other) return;
    const isEdited = this.state !== "none";
    this.choose(this.other);
    if (isEdited) await this.inTurn(() => this.keep());
  };

  /** Forget a draft that serves now, as this version. What was typed since is a new draft. */
  async deployed(text: string, version: string): Promise<void> {
    const tag = await this.tagNow().catch(() => null);
    // Another one may serve by now, which has to be seen before it is replaced.
    await this.forget(text, baseOf({ base: version }, tag));
  }

  /** Serve an earlier version again. The text in the editor is a draft then. */
  async rolledBack(version: string): Promise<void> {
    await rollBack(this.opened.flowId, version);
    if (this.isDetached) return;
    this.base = await this.tagNow();
    await this.inTurn(() => this.keep());
  }

  /** Forget the draft, and go back to what serves. It can be undone. */
  discard = async (): Promise<void> => {
    const { flowId, orders } = this.opened;
    const fresh = await freshText(flowId, orders);
    this.editing?.replace(fresh.text);
    await this.forget(fresh.text, fresh.base);
  };

  /** Nothing is sent: another draft has to be looked at first, or this person may not write. */
  private get staysHere(): boolean {
    return this.other !== null || !this.opened.mayWrite;
  }

  private typed(): void {
    this.timer ??= setTimeout(this.save, SAVE_MS);
    // The next keys show nothing new.
    if (this.state !== "saving") this.show("saving");
  }

  /** Keep the text of the editor, which becomes the draft. */
  private async keep(): Promise<void> {
    this.text = this.textNow();
    const isHere = await this.keepHere();
    this.settle(!isHere ? "failed" : this.staysHere ? "local" : "saving");
    this.copy.save(this.text, this.base);
  }

  /** Returns false if this browser can't keep it. */
  private async keepHere(): Promise<boolean> {
    const { text, base, version } = this;
    const { flowId } = this.opened;
    try {
      await saveLocalDraft({ flowId, text, base, kept: version, savedAt: new Date().toISOString() });
      return true;
    } catch {
      return false;
    }
  }

  private savedOnServer(version: string, text: string): void {
    this.version = version;
    if (this.isDetached) return;
    this.inTurn(async () => {
      // It may have been forgotten meanwhile.
      if (this.version !== version) return;
      await this.keepHere();
      if (this.text === text) this.settle("saved");
    });
  }

  /** The server doesn't have the text; whether this browser has it is known already. */
  private notSent(): void {
    this.settle(this.settled === "failed" ? "failed" : "local");
  }

  private async forget(text: string, base: string | null): Promise<void> {
    this.stopWaiting();
    // First, what is being saved, since it goes to the server after that.
    await this.inTurn(async () => {
      Object.assign(this, { text, base });
    });
    try {
      await this.copy.drop();
    } catch (error) {
      // It is still a draft, from the version that serves now.
      await this.inTurn(() => this.keep());
      throw error;
    }
    await this.inTurn(async () => {
      Object.assign(this, { text, version: null });
      await dropLocalDraft(this.opened.flowId);
      this.settle("none");
    });
    // What was typed meanwhile is a new draft.
    await this.save();
  }

  private choose(other: ServerDraft): void {
    this.other = null;
    this.version = other.version;
    this.copy.choose(other.version);
    this.onChange();
  }

  private inTurn(write: () => Promise<void>): Promise<void> {
    const done = this.written.then(write);
    this.written = done.catch(() => {});
    return done;
  }

  private stopWaiting(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  /** The state of the text that is kept has changed. It is shown unless something else is typed already. */
  private settle(state: DraftState): void {
    this.settled = state;
    if (this.timer === undefined) this.show(state);
    else this.onChange();
  }

  private show(state: DraftState): void {
    this.state = state;
    this.onChange();
  }

  private textNow(): string {
    return this.editing?.document.text ?? this.text;
  }

  /** The flow's ETag. */
  private async tagNow(): Promise<string | null> {
    return (await loadFlow(this.opened.flowId))?.tag ?? null;
  }
}
