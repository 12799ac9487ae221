/** Requests that are made again while somebody types. */

interface Options<T> {
  /** So long after the last change, it is loaded. */
  delayMs: number;
  /** A stale request is aborted once it has run for so long. The server then has to start a process anew. */
  patienceMs: number;
  done: (value: T) => void;
  failed: (error: unknown) => void;
}

type Load<T> = (signal: AbortSignal) => Promise<T>;

/** Loads what was asked for last. One request runs at a time, and the answer of a stale one is dropped. */
export class Latest<T> {
  private readonly options: Options<T>;
  private wanted: Load<T> | null = null;
  private running: { abort: AbortController; since: number } | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private patience: ReturnType<typeof setTimeout> | undefined;

  constructor(options: Options<T>) {
    this.options = options;
  }

  ask(load: Load<T>): void {
    this.wanted = load;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.begin(), this.options.delayMs);
    if (this.running && this.patience === undefined) {
      const left = this.running.since + this.options.patienceMs - Date.now();
      this.patience = setTimeout(() => this.running?.abort.abort(), Math.max(0, left));
    }
  }

  stop(): void {
    clearTimeout(this.timer);
    this.wanted = null;
    this.options.done = () => {};
    this.options.failed = () => {};
    this.endRun();
  }

  private async begin(): Promise<void> {
    this.timer = undefined;
    const load = this.wanted;
    if (load === null || this.running) return;
    this.wanted = null;
    const abort = new AbortController();
    this.running = { abort, since: Date.now() };
    let report: () => void;
    try {
      const value = await load(abort.signal);
      report = () => this.options.done(value);
    } catch (error) {
      report = () => this.options.failed(error);
    }
    this.endRun();
    if (this.wanted === null) report();
    else if (this.timer === undefined) await this.begin();
  }

  private endRun(): void {
    clearTimeout(this.patience);
    this.patience = undefined;
    this.running = null;
  }
}
