/** The draft of a flow until it is deployed or discarded, and what its author decides about it. */

import { type FieldText, NO_FIELD_TEXTS } from "../code/editing";
import { isSameFlow } from "../document/format";
import { rollBack, versionOf } from "./deployment";
import { baseOf } from "./draft_choice";
import { DraftSaver } from "./draft_saver";
import { freshText, loadFlow } from "./opening";

type FieldTexts = ReadonlyMap<string, FieldText>;

export class DraftKeeper extends DraftSaver {
  /** A text that was sent to be deployed, and of which no answer came, with the texts of fields at that time. */
  private unanswered: { text: string; fields: FieldTexts } | null = null;

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
    this.choose(other.version);
    await this.inTurn(() => this.keep());
  };

  /** Go on with the text in the editor. It replaces the other draft, or the one that was removed elsewhere. */
  keepMine = async (): Promise<void> => {
    if (!this.other && !this.isGone) return;
    const isEdited = this.state !== "none";
    this.choose(this.other?.version ?? null);
    if (isEdited) await this.inTurn(() => this.keep());
  };

  /**
   * Forget a draft that serves now, as this version, with the texts of fields at the time when it was sent. What was typed
   * since is a new draft.
   */
  async deployed(text: string, version: string, fields: FieldTexts): Promise<void> {
    this.unanswered = null;
    if (this.isGone) this.choose(null);
    if (this.editing?.fieldTexts === fields) this.editing.setFieldTexts(NO_FIELD_TEXTS);
    const tag = await this.tagNow().catch(() => null);
    // Another one may serve by now, which has to be seen before it is replaced.
    await this.forget(text, baseOf({ base: version }, tag));
  }

  /** Note that a text was sent to be deployed, while fields had these texts, and that no answer came. */
  deployedPerhaps(text: string, fields: FieldTexts): void {
    this.unanswered = { text, fields };
  }

  /** Whether a text serves of whose deployment no answer came. Then, the draft is forgotten. */
  async isDeployedAfterAll(): Promise<boolean> {
    const { unanswered } = this;
    const { flowId, orders } = this.opened;
    if (unanswered === null) return false;
    const { text, base } = await freshText(flowId, orders);
    if (base === null || !isSameFlow(text, unanswered.text, orders)) return false;
    await this.deployed(unanswered.text, versionOf(base), unanswered.fields);
    return true;
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
    this.editing?.setFieldTexts(NO_FIELD_TEXTS);
    if (this.isGone) this.choose(null);
    await this.forget(fresh.text, fresh.base);
  };

  /** Go on from a draft on the server that has been seen; null if it has none any more. */
  private choose(version: string | null): void {
    Object.assign(this, { other: null, isGone: false, version });
    this.copy.choose(version);
    this.onChange();
  }

  /** The flow's ETag. */
  private async tagNow(): Promise<string | null> {
    return (await loadFlow(this.opened.flowId))?.tag ?? null;
  }
}
