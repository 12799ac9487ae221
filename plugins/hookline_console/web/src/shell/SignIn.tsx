import "./sign_in.css";
import { useEffect, useState } from "preact/hooks";
import { ApiError } from "../api/problem";
import { type Me, signIn } from "../api/session";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Field } from "../ui/Field";
import { describeProblem } from "../ui/problems";
import { Logo } from "./Logo";

interface SignInProps {
  /** Why a one-time code was rejected. */
  badCode: unknown;
  onSignedIn: (me: Me) => void;
}

/** The page for signing in with a token. */
export function SignIn({ badCode, onSignedIn }: SignInProps) {
  const [token, setToken] = useState("");
  const [rejected, setRejected] = useState<string>();
  const problem = rejected ?? (badCode === undefined ? undefined : explain(badCode, texts.signIn.badCode));
  useEffect(() => {
    document.title = texts.signIn.title;
  }, []);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    try {
      onSignedIn(await signIn({ token: token.trim() }));
    } catch (error) {
      setRejected(explain(error, texts.signIn.badToken));
    }
  };
  return (
    <main class="sign-in">
      <form class="card sign-in-card" onSubmit={submit}>
        <Logo />
        <h1>{texts.signIn.title}</h1>
        <Field label={texts.signIn.token} problem={problem} hint={texts.signIn.hint}>
          {/* Browsers may keep it as they keep passwords. */}
          <input
            type="password"
            autocomplete="current-password"
            required
            // biome-ignore lint/a11y/noAutofocus: it is all that the page is for
            autoFocus
            spellcheck={false}
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </Field>
        <Button type="submit" kind="primary">
          {texts.signIn.submit}
        </Button>
        <p class="sign-in-link">{texts.signIn.link}</p>
      </form>
    </main>
  );
}

function explain(error: unknown, rejected: string): string {
  if (error instanceof ApiError && error.status === 401) return rejected;
  if (error instanceof ApiError && error.status === 429) return texts.signIn.tooMany;
  return describeProblem(error).detail;
}
