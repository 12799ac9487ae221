export interface Toast {
  id: number;
  text: string;
  tone: "ok" | "bad";
  action?: ToastAction | undefined;
}

/** A button on a message. */
export interface ToastAction {
  label: string;
  act: () => unknown;
}

const SHOWN_MS = 6000;
const ACTION_MS = 20_000;

/** The messages that are shown, each for some seconds. */
export class ToastList {
  shown: readonly Toast[] = [];

  private count = 0;
  private readonly timers = new Map<number, ReturnType<typeof setTimeout>>();
  /** What keeps them on the screen: the pointer or the focus is among them. */
  private readonly holds = new Set<string>();
  private readonly watchers = new Set<() => void>();

  /** Call a function whenever others are shown. Returns the function that ends this. */
  watch(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  /** Show a message; for longer if there is something to do. */
  add(text: string, tone: Toast["tone"], action?: ToastAction): void {
    const toast = { id: ++this.count, text, tone, action };
    this.set([...this.shown, toast]);
    if (this.holds.size === 0) this.expire(toast);
  }

  drop(id: number): void {
    clearTimeout(this.timers.get(id));
    this.timers.delete(id);
    this.set(this.shown.filter((each) => each.id !== id));
    // An element that is removed doesn't tell that the pointer and the focus have left it.
    if (this.shown.length === 0) this.holds.clear();
  }

  /** Keep all messages until they are released. */
  hold(by: "pointer" | "focus"): void {
    this.holds.add(by);
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
  }

  /** End a hold. Without any, each message is shown for as long as it was at first. */
  release(by: "pointer" | "focus"): void {
    if (!this.holds.delete(by) || this.holds.size > 0) return;
    for (const each of this.shown) this.expire(each);
  }

  private expire({ id, tone, action }: Toast): void {
    const shownMs = action ? ACTION_MS : tone === "bad" ? 2 * SHOWN_MS : SHOWN_MS;
    this.timers.set(
      id,
      setTimeout(() => this.drop(id), shownMs),
    );
  }

  private set(shown: readonly Toast[]): void {
    this.shown = shown;
    for (const watcher of this.watchers) watcher();
  }
}
