import { createContext } from "preact";
import { showProblem } from "./toasts";

/** Shows why the action of a button failed, where the button is; with undefined, that it is tried again. */
export const ProblemContext = createContext((error: unknown): void => {
  if (error !== undefined) showProblem(error);
});
