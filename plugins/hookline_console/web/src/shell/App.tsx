import { useEffect, useMemo, useState } from "preact/hooks";
import { LocationProvider } from "preact-iso";
import { onSignedOut } from "../api/client";
import { events } from "../api/events";
import { loadMe, type Me, signIn, signOut, takeCode } from "../api/session";
import { Failed } from "../ui/Notices";
import { OpenedDialog } from "../ui/OpenedDialog";
import { Toasts } from "../ui/toasts";
import { SessionContext } from "./SessionContext";
import { Shell } from "./Shell";
import { SignIn } from "./SignIn";

/** Taken before the first render, so that the code is in no URL that anything else may read. */
const code = takeCode(window.location, window.history);

/** The console: the page for signing in, or all others. */
export function App() {
  const [me, setMe] = useState<Me | null | undefined>();
  const [error, setError] = useState<unknown>();

  const load = async () => {
    setError(undefined);
    try {
      setMe(code === null ? await loadMe() : await signIn({ code }));
    } catch (failure) {
      // A bad code is the business of the page for signing in, unless there is a session already.
      const known = code === null ? null : await loadMe().catch(() => null);
      setMe(known);
      if (known === null) setError(failure);
    }
  };
  useEffect(() => {
    load();
    return onSignedOut(() => setMe(null));
  }, []);
  const signedIn = Boolean(me);
  useEffect(() => {
    if (!signedIn) return;
    events.start();
    return () => events.stop();
  }, [signedIn]);

  const session = useMemo(
    () =>
      me && {
        me,
        signOut: async () => {
          await signOut();
          setMe(null);
        },
      },
    [me],
  );
  return (
    <>
      {session ? (
        <SessionContext.Provider value={session}>
          <LocationProvider>
            <Shell />
            <OpenedDialog />
          </LocationProvider>
        </SessionContext.Provider>
      ) : me === null && (error === undefined || code !== null) ? (
        <SignIn badCode={error} onSignedIn={setMe} />
      ) : (
        error !== undefined && <Failed error={error} retry={load} />
      )}
      <Toasts />
    </>
  );
}
