/** Texts from outside, shown so that nothing in them is invisible or changes the direction of what is around. */

export interface Piece {
  readonly text: string;
  /** True if the text stands for a character that can't be shown as it is, such as `\u202e`. */
  readonly escaped: boolean;
}

// Control characters, format characters (directions, zero width), lone surrogates, private use, and separators that
// break lines. Emoji need the joiner and the variation selectors, which are harmless between them.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029\ufffd\u3164\u115f\u1160\uffa0]/u;
const JOINED = /^\u200d$/;
const PICTURE = /\p{Extended_Pictographic}|\ufe0f/u;

/** Cut a text into pieces. `lines`: line feeds and tabs stay as they are. */
export function pieces(text: string, lines = false): Piece[] {
  const found: { text: string; escaped: boolean }[] = [];
  let before = "";
  for (const one of text) {
    const plain =
      !UNSEEN.test(one) ||
      (lines && (one === "\n" || one === "\t")) ||
      (JOINED.test(one) && PICTURE.test(before));
    const last = found.at(-1);
    if (plain && last !== undefined && !last.escaped) {
      last.text += one;
    } else {
      found.push({ text: plain ? one : escapeOf(one), escaped: !plain });
    }
    before = one;
  }
  return found;
}

function escapeOf(one: string): string {
  const short: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  const code = one.codePointAt(0) ?? 0;
  return (
    short[one] ?? (code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`)
  );
}
