/** The languages of expressions. */

export const LANGUAGES = ["jsonpath", "jinja", "jsonata", "jmespath"] as const;
export type Language = (typeof LANGUAGES)[number];

/** Those in which a text is an expression by itself. The others are named by an object, as in `{"jsonata": "body.id"}`. */
export const PLAIN: readonly Language[] = ["jsonpath", "jinja"];

/** The language of a text that no object names; undefined if it is no expression. */
export function languageOf(text: string): Language | undefined {
  if (/^\$($|[.[])/.test(text)) return "jsonpath";
  return /\{\{|\{%/.test(text) ? "jinja" : undefined;
}
