import { useId, useState } from "preact/hooks";
import { api, body, type Schemas } from "../api/client";
import { ApiError } from "../api/problem";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Dialog } from "../ui/Dialog";
import { Field } from "../ui/Field";

const said = texts.tokens;

type Scope = Schemas["TokenScope"];

const SCOPES: readonly Scope[] = ["read", "operate", "author", "admin"];
const LIFETIMES = ["7d", "30d", "90d", "365d", ""] as const;

interface CreateTokenProps {
  onClose: () => void;
  /** Told the token itself, which is shown only once. */
  onCreated: (token: string) => void;
}

/** The form for a new token. */
export function CreateToken({ onClose, onCreated }: CreateTokenProps) {
  const form = useId();
  const flows = useResource((signal) => body(api.GET("/api/v1/flows", { signal })), []);
  const [problem, setProblem] = useState<string>();
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget as HTMLFormElement);
    const limited = given.getAll("flows").map(String);
    try {
      const made = await body(
        api.POST("/api/v1/tokens", {
          body: {
            name: String(given.get("name")),
            scopes: [given.get("scope") as Scope],
            expires: String(given.get("expires")) || null,
            flows: limited.length > 0 ? limited : null,
          },
        }),
      );
      onCreated(made.token);
    } catch (error) {
      setProblem(error instanceof ApiError ? error.message : String(error));
    }
  };
  return (
    <Dialog
      title={said.create}
      onClose={onClose}
      actions={
        <button type="submit" form={form} class="button button-primary">
          {said.create}
        </button>
      }
    >
      <form id={form} class="form" onSubmit={submit}>
        <Field label={said.name} hint={said.nameHint} problem={problem}>
          <input name="name" required maxLength={64} autocomplete="off" />
        </Field>
        <Field label={said.scope}>
          <select name="scope">
            {SCOPES.map((scope) => (
              <option key={scope} value={scope}>
                {said.scopes[scope]}
              </option>
            ))}
          </select>
        </Field>
        <Field label={said.lifetime}>
          <select name="expires" defaultValue="90d">
            {LIFETIMES.map((lifetime) => (
              <option key={lifetime} value={lifetime}>
                {said.lifetimes[lifetime]}
              </option>
            ))}
          </select>
        </Field>
        <Field label={said.flows} hint={said.flowsHint}>
          <select name="flows" multiple size={4}>
            {(flows.value?.items ?? []).map((flow) => (
              <option key={flow.id} value={flow.id}>
                {flow.id}
              </option>
            ))}
          </select>
        </Field>
      </form>
    </Dialog>
  );
}
