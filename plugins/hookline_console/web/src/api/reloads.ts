interface ReloadsOptions {
  /** Load and show; it shows nothing once the signal is aborted. It never throws. */
  load: (signal: AbortSignal) => Promise<void>;
  /** Events that come within so many milliseconds are one load. */
  settleMs: number;
  /** Loads because of events begin at least so many milliseconds apart, since each costs the server something. */
  apartMs: number;
  /** Whether nobody sees what is shown: then events are kept until somebody does. */
  isHidden: () => boolean;
}

/**
 * Loads a value again and again, one load at a time, so that no answer is shown after a later one.
 *
 * A load that runs when something happens may show the state before it, so there is another one after its end. It isn't
 * aborted: otherwise nothing would be shown while more happens than the server answers.
 */
export class Reloads {
  private readonly options: ReloadsOptions;
  private current: AbortController | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isStale = false;
  private last = Number.NEGATIVE_INFINITY;

  constructor(options: ReloadsOptions) {
    this.options = options;
  }

  /** Load at once, in place of a load that runs. */
  now(): void {
    this.stop();
    const current = new AbortController();
    this.current = current;
    this.options.load(current.signal).finally(() => {
      if (this.current !== current) return;
      this.current = undefined;
      this.settle();
    });
  }

  /** Load soon, because something has happened. */
  soon(): void {
    this.isStale = true;
    this.settle();
  }

  /** Make up for what has happened while it was hidden. */
  shown(): void {
    this.settle();
  }

  /** End all loads, until the next call. */
  stop(): void {
    this.current?.abort();
    this.current = undefined;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.isStale = false;
  }

  private settle(): void {
    if (!this.isStale || this.current !== undefined || this.options.isHidden()) return;
    const { settleMs, apartMs } = this.options;
    this.timer ??= setTimeout(
      () => {
        this.last = Date.now();
        this.now();
      },
      Math.max(settleMs, this.last + apartMs - Date.now()),
    );
  }
}
