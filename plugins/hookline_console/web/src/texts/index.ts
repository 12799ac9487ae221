/** The texts of the console, in the viewer's language. English is the only one so far. */

import { en } from "./en";

export const texts = en;
