/** Values, and where they come from. */

import type { Schemas } from "../api/client";
import { at, type Json, member, NULL } from "../json/json";

/** A value with all of its digits, and the values that its expression read. */
export interface Explained extends Omit<Schemas["Explained"], "value" | "reads"> {
  value: Json;
  reads: readonly Explained[];
}

/** A value of an answer of the server. `exact`: the same as it was sent, because numbers may have many digits. */
export function explainedOf(view: Schemas["Explained"], exact: Json | undefined): Explained {
  const readAt = (index: number) => exact && at(exact, `/reads/${index}`)?.value;
  return {
    ...view,
    value: member(exact, "value") ?? NULL,
    reads: view.reads.map((read, index) => explainedOf(read, readAt(index))),
  };
}
