/** The differences between two documents of a flow, as the server finds them. */

import type { Schemas } from "../api/client";
import { at, type Json, member, parse } from "../json/json";

/** A difference, whose values have all of their digits. A value is undefined if there is none. */
export interface FlowDifference extends Omit<Schemas["Difference"], "old" | "new"> {
  old?: Json | undefined;
  new?: Json | undefined;
}

/** Read the answer of the server. Values are read as text, because numbers may have many digits. */
export function readDifferences(text: string): FlowDifference[] {
  const { differences }: Pick<Schemas["DifferencesView"], "differences"> = JSON.parse(text);
  const exact = parse(text);
  return differences.map((difference, index) => {
    const values = at(exact, `/differences/${index}`)?.value;
    return { ...difference, old: member(values, "old"), new: member(values, "new") };
  });
}
