/** The commands of the palette: pages, flows, executions, and what the page in view offers. */

import { useEffect } from "preact/hooks";

export interface Command {
  id: string;
  title: string;
  /** What it is, such as "Flow". */
  kind?: string;
  /** Where it leads, or what it does. */
  href?: string;
  run?: () => unknown;
}

const offered = new Map<symbol, readonly Command[]>();

/** Offer commands in the palette while a component is shown. */
export function useCommands(commands: readonly Command[]): void {
  useEffect(() => {
    const key = Symbol("commands");
    offered.set(key, commands);
    return () => {
      offered.delete(key);
    };
  }, [commands]);
}

export function offeredCommands(): Command[] {
  return [...offered.values()].flat();
}

/** The commands that match a text, the best first: those that begin with it, then those with a word that does. */
export function matchCommands(commands: readonly Command[], text: string, limit: number): Command[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return commands
    .map((command, order) => ({ command, order, rank: rankOf(command.title.toLowerCase(), words) }))
    .filter(({ rank }) => rank !== null)
    .sort((a, b) => (a.rank ?? 0) - (b.rank ?? 0) || a.order - b.order)
    .slice(0, limit)
    .map(({ command }) => command);
}

function rankOf(title: string, words: readonly string[]): number | null {
  let rank = 0;
  for (const word of words) {
    const at = title.indexOf(word);
    if (at < 0) return null;
    rank += at === 0 ? 0 : /[\s._/-]/.test(title.charAt(at - 1)) ? 1 : 2;
  }
  return rank;
}
