import "./credentials.css";
import { useId, useState } from "preact/hooks";
import { api, body } from "../api/client";
import { useResource } from "../api/resource";
import type { Field as FormField } from "../forms/fields";
import { texts } from "../texts";
import { Dialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { Loaded } from "../ui/Notices";
import { describeProblem } from "../ui/problems";
import { choicesOf, controlOf, credentialFields, valuesOf } from "./values";

const said = texts.credentials;

interface CredentialFormProps {
  /** The credential whose values are replaced; without one, a new one is created. */
  existing?: { name: string; type: string };
  /** The name of a new one. */
  name?: string | undefined;
  onClose: () => void;
  onSaved: (name: string) => void;
}

/** A form with the fields of a credential's type. Values that are stored are never shown, and all are set anew. */
export function CredentialForm({ existing, name: given, onClose, onSaved }: CredentialFormProps) {
  const form = useId();
  const [type, setType] = useState(existing?.type ?? "");
  const [problem, setProblem] = useState<string>();
  const components = useResource((signal) => body(api.GET("/api/v1/components", { signal })), []);
  const types = (components.value?.items ?? []).filter((one) => one.kind === "credential type");
  const schema = useResource(
    async (signal) =>
      type === ""
        ? {}
        : body(
            api.GET("/api/v1/components/{component}/schema", {
              params: { path: { component: type }, query: { kind: "credential type" } },
              signal,
            }),
          ),
    [type],
  );
  const fields = credentialFields(schema.value ?? {});
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const entered = new Map(
      [...new FormData(event.currentTarget as HTMLFormElement)].map(([name, value]) => [name, String(value)]),
    );
    const name = existing?.name ?? entered.get(NAME) ?? "";
    try {
      const values = valuesOf(fields, entered);
      await api.PUT("/api/v1/credentials/{name}", { params: { path: { name } }, body: { type, values } });
      onSaved(name);
    } catch (error) {
      setProblem(error instanceof SyntaxError ? said.badJson(error.message) : describeProblem(error).detail);
    }
  };
  return (
    <Dialog
      title={existing ? said.replace(existing.name) : said.create}
      onClose={onClose}
      actions={
        <button type="submit" form={form} class="button button-primary" disabled={type === ""}>
          {texts.common.save}
        </button>
      }
    >
      <form id={form} class="form" onSubmit={submit} autocomplete="off">
        {existing ? (
          <p>{said.replaceDetail}</p>
        ) : (
          <>
            <Field label={said.name} hint={said.nameHint}>
              <input name={NAME} defaultValue={given} required maxLength={100} />
            </Field>
            <Field label={said.type}>
              <select required value={type} onChange={(event) => setType(event.currentTarget.value)}>
                <option value="" disabled>
                  {said.chooseType}
                </option>
                {types.map((one) => (
                  <option key={one.name} value={one.name}>
                    {one.title && one.title !== one.name ? `${one.name} – ${one.title}` : one.name}
                  </option>
                ))}
              </select>
            </Field>
          </>
        )}
        {type !== "" && (
          <Loaded resource={schema} lines={3}>
            {() => fields.map((field) => <Control key={`${type} ${field.name}`} field={field} />)}
          </Loaded>
        )}
        {problem && (
          <p class="field-problem foreign" role="alert">
            {problem}
          </p>
        )}
      </form>
    </Dialog>
  );
}

/** The name of the control for the credential's name; no value of a credential has it. */
const NAME = "credential name";

function Control({ field }: { field: FormField }) {
  return (
    <Field
      label={field.required ? field.label : said.optional(field.label)}
      hint={[field.description, controlOf(field) === "lines" ? said.lines : ""].filter(Boolean).join(" ")}
    >
      {control(field)}
    </Field>
  );
}

function control(field: FormField) {
  const { name, required, placeholder } = field;
  switch (controlOf(field)) {
    case "secret":
      return (
        <textarea
          name={name}
          required={required}
          rows={1}
          class="secret"
          spellcheck={false}
          autocomplete="off"
        />
      );
    case "boolean":
    case "choice":
      return (
        <select name={name} required={required}>
          <option value="">{placeholder === "" ? "" : said.byDefault(placeholder)}</option>
          {choicesOf(field).map((option) => (
            <option key={option} value={option}>
              {option}
            </option>
          ))}
        </select>
      );
    case "number":
      return <input type="number" name={name} required={required} placeholder={placeholder} />;
    case "lines":
    case "json":
      return (
        <textarea name={name} required={required} rows={3} placeholder={placeholder} spellcheck={false} />
      );
    default:
      return <input name={name} required={required} placeholder={placeholder} spellcheck={false} />;
  }
}
