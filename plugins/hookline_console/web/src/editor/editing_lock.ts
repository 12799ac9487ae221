/** Which tab of a browser edits a flow: one at a time, since all tabs keep the same draft. */

/** A tab that was just closed may still hold the lock for so long. */
const CLOSED_MS = 300;
/** A tab that doesn't give the lock up for so long is suspended. */
const GIVING_MS = 1000;
const CHANNEL = "hookline-editing";

export class EditingLock {
  /** Whether this tab edits the flow; undefined while that isn't known yet. */
  isHeld: boolean | undefined;
  /** What is done before another tab edits the flow. `isTaken`: it does so already. */
  beforeGiving: (how: { isTaken: boolean }) => Promise<void> = async () => {};

  readonly name: string;
  private readonly onChange: () => void;
  private readonly channel = new BroadcastChannel(CHANNEL);
  private release: () => void = () => {};
  private isOver = false;

  constructor(name: string, onChange: () => void) {
    this.name = name;
    this.onChange = onChange;
    this.channel.onmessage = ({ data }) => {
      if (data === name && this.isHeld) this.give();
    };
  }

  /** Edit the flow here, unless another tab does. Without a secure context there are no locks, and each tab does. */
  async begin(): Promise<void> {
    if (!navigator.locks) return this.set(true);
    if (!(await this.request(CLOSED_MS))) this.set(false);
  }

  /** Edit the flow here. The other tab saves what it has first. */
  take = async (): Promise<void> => {
    this.channel.postMessage(this.name);
    if (!(await this.request(GIVING_MS))) await this.request("steal");
  };

  end(): void {
    this.isOver = true;
    this.release();
    this.channel.close();
  }

  /** Returns whether this tab has the lock, for which it waits so many milliseconds. */
  private request(wait: number | "steal"): Promise<boolean> {
    const waiting = new AbortController();
    const timer = wait === "steal" ? undefined : setTimeout(() => waiting.abort(), wait);
    const options = wait === "steal" ? { steal: true } : { signal: waiting.signal };
    return new Promise((resolve) => {
      const held = navigator.locks.request(this.name, options, () => {
        clearTimeout(timer);
        if (this.isOver) return undefined;
        this.set(true);
        resolve(true);
        return new Promise<void>((release) => {
          this.release = release;
        });
      });
      held.catch(() => {
        resolve(false);
        if (!this.isHeld) return;
        // Another tab has taken it. Nothing that is typed here is kept from now on.
        this.beforeGiving({ isTaken: true });
        this.set(false);
      });
    });
  }

  private async give(): Promise<void> {
    await this.beforeGiving({ isTaken: false });
    // It may have taken too long, so that the other tab has the lock already.
    if (!this.isHeld) return;
    this.set(false);
    this.release();
  }

  private set(isHeld: boolean): void {
    this.isHeld = isHeld;
    if (!this.isOver) this.onChange();
  }
}
