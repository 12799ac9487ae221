import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { allows, type Me, type Scope } from "../api/session";

export interface Session {
  me: Me;
  signOut: () => Promise<void>;
}

export const SessionContext = createContext<Session | null>(null);

/** The session. Pages are shown only while there is one. */
export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === null) throw new Error("there is no session here");
  return session;
}

/** Whether the caller has a scope; true without a session, where nothing needs one. */
export function useAllows(scope: Scope | undefined): boolean {
  const session = useContext(SessionContext);
  return scope === undefined || session === null || allows(session.me, scope);
}
