/** What is typed in an editor is kept as a draft: in this browser at once, and on the server soon. */

import { events } from "../api/events";
import type { Editing, FieldText } from "../code/editing";
import { watchLeaving } from "./leaving";
import { dropLocalDraft, saveLocalDraft } from "./local_drafts";
import type { Opened } from "./opening";
import { ServerCopy } from "./server_copy";
import type { ServerDraft } from "./server_drafts";

/** What is typed is in the browser's storage so soon. */
const SAVE_MS = 800;

/**
 * `saved`: the server has it. `local`: it is in this browser only, since it couldn't be sent. `fields`: the same for texts
 * in fields of the form alone. `failed`: it is saved nowhere.
 */
export type DraftState = "none" | "saving" | "saved" | "local" | "fields" | "failed";

export class DraftSaver {
  /** The ETag of the flow from which it was made, or null; a deployment replaces this version, and no other. */
  base: string | null;
  /** Another draft of the flow on the server, which somebody has to look at before it is replaced. */
  other: ServerDraft | null;
  /** The draft was deployed or discarded elsewhere, and somebody has to look at what is here before it is sent. */
  isGone: boolean;
  /** Why it couldn't be sent, or kept in this browser. */
  problem: unknown;

  protected readonly opened: Opened;
  protected readonly copy: ServerCopy;
  protected editing: Editing | null = null;
  /** Another tab edits the flow, and keeps its text instead. */
  private isOver = false;
  /** The editor is closed. There may be another one, which keeps its own text in this browser. */
  protected isDetached = false;
  /** The text that is kept, or that serves. */
  protected text: string;
  /** The version of the draft on the server that it continues. */
  protected version: string | null;
  protected readonly onChange: () => void;
  /** The state of the text that is shown. */
  private shown: DraftState;
  /** The state of the text that is kept; another one may be typed already. */
  private settled: DraftState;
  /** The texts of fields that are kept. */
  private fields: ReadonlyMap<string, FieldText>;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** The last write in this browser. They are made in turn, so that none comes after the draft was dropped. */
  private written: Promise<void> = Promise.resolve();

  /** `onChange` is called when there is something else to show. */
  constructor(opened: Opened, onChange: () => void) {
    this.opened = opened;
    this.onChange = onChange;
    this.other = opened.other;
    this.isGone = opened.isGone;
    this.fields = opened.fields;
    this.settled = !opened.draft ? "none" : opened.isSent ? "saved" : this.staysHere ? "local" : "saving";
    this.shown = this.settled;
    this.base = opened.base;
    this.text = opened.text;
    this.version = opened.isGone ? (opened.draft?.kept ?? null) : opened.known;
    this.copy = new ServerCopy(opened.flowId, opened.known, this.staysHere, {
      saved: (version, text) => this.savedOnServer(version, text),
      conflict: (other) => {
        this.other = other;
        this.notSent(undefined);
      },
      failed: (error) => this.notSent(error),
    });
  }

  get state(): DraftState {
    const isOfText = this.fields.size === 0 || (this.shown !== "none" && this.shown !== "saved");
    return isOfText ? this.shown : "fields";
  }

  /** Keep what is written in an editor. Returns a function that ends this. */
  attach(editing: Editing): () => void {
    this.editing = editing;
    editing.setFieldTexts(this.fields);
    const ends = [
      editing.onText(() => this.typed()),
      watchLeaving(this.save, () => this.settled === "failed"),
      events.watchConnection((connection) => connection === "open" && this.copy.retry()),
    ];
    if (this.opened.draft && !this.opened.isSent) this.copy.save(this.text, this.base);
    return () => {
      for (const end of ends) end();
      this.isDetached = true;
      this.save().then(() => this.copy.leave());
    };
  }

  /** Save at once what isn't saved yet. */
  save = (): Promise<void> => {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.isOver) return Promise.resolve();
    return this.inTurn(async () => {
      const isTriedAgain = this.opened.mayWrite && (this.settled === "local" || this.settled === "failed");
      if (this.textNow() !== this.text || isTriedAgain) await this.keep();
      else if (this.fieldsNow() !== this.fields) await this.keepFields();
      else this.show(this.settled);
    });
  };

  /** Save for the last time, since another tab goes on. `isTaken`: that tab has a newer text by now. */
  giveUp = async ({ isTaken }: { isTaken: boolean }): Promise<void> => {
    if (!isTaken) await this.save();
    this.isOver = true;
    await this.copy.end();
  };

  /** Forget the draft, of which this text is left, from this version of the flow. */
  protected async forget(text: string, base: string | null): Promise<void> {
    // First, what is being saved, since it goes to the server after that. What is typed from now on is a new draft.
    await this.inTurn(async () => {
      this.text = text;
      this.base = base;
      this.settled = "saving";
    });
    try {
      await this.copy.drop();
    } catch (error) {
      // It is still a draft, from the version that serves now.
      await this.inTurn(() => this.keep());
      throw error;
    }
    await this.inTurn(async () => {
      this.text = text;
      this.version = null;
      if (this.textNow() !== text) return this.keep();
      this.settled = "none";
      await this.keepFields();
    });
  }

  /** Keep the text of the editor, which becomes the draft. */
  protected async keep(): Promise<void> {
    this.problem = undefined;
    this.text = this.textNow();
    const isHere = await this.keepHere(this.text, { sent: false });
    this.settle(!isHere ? "failed" : this.staysHere ? "local" : "saving");
    this.copy.save(this.text, this.base);
  }

  protected inTurn(write: () => Promise<void>): Promise<void> {
    const done = this.written.then(write);
    this.written = done.catch(() => {});
    return done;
  }

  /** Nothing is sent: somebody has to look at it first, or this person may not write. */
  private get staysHere(): boolean {
    return this.other !== null || this.isGone || !this.opened.mayWrite;
  }

  private typed(): void {
    this.timer ??= setTimeout(this.save, SAVE_MS);
    // The next keys show nothing new.
    if (this.shown !== "saving") this.show("saving");
  }

  /** Keep the texts of fields beside a text that is kept already. */
  private async keepFields(): Promise<void> {
    const text = this.settled === "none" ? null : this.text;
    const isHere = await this.keepHere(text, { sent: this.settled === "saved" });
    this.settle(isHere ? this.settled : "failed");
  }

  /** `text`: null if it is no draft. Returns false if this browser can't keep it. */
  private async keepHere(text: string | null, { sent }: { sent: boolean }): Promise<boolean> {
    const { person, flowId } = this.opened;
    const { base, version: kept } = this;
    const fields = this.fieldsNow();
    this.fields = fields;
    try {
      if (text === null && fields.size === 0) await dropLocalDraft(person, flowId);
      else await saveLocalDraft({ person, flowId, text, base, kept, sent, fields });
      return true;
    } catch (error) {
      this.problem = error;
      return false;
    }
  }

  private savedOnServer(version: string, text: string): void {
    this.version = version;
    if (this.isDetached || this.isOver) return;
    this.inTurn(async () => {
      // It may have been forgotten meanwhile.
      if (this.version !== version) return;
      const isAll = this.text === text;
      await this.keepHere(this.text, { sent: isAll });
      if (isAll) this.settle("saved");
    });
  }

  /** The server doesn't have the text; whether this browser has it is known already. */
  private notSent(problem: unknown): void {
    this.problem = problem;
    this.settle(this.settled === "failed" ? "failed" : "local");
  }

  /** The state of the text that is kept has changed. It is shown unless something else is typed already. */
  private settle(state: DraftState): void {
    this.settled = state;
    if (this.timer === undefined) this.show(state);
    else this.onChange();
  }

  private show(state: DraftState): void {
    this.shown = state;
    this.onChange();
  }

  private textNow(): string {
    return this.editing?.document.text ?? this.text;
  }

  private fieldsNow(): ReadonlyMap<string, FieldText> {
    return this.editing?.fieldTexts ?? this.fields;
  }
}
