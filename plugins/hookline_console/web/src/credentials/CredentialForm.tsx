import "./credentials.css";
import { useId, useState } from "preact/hooks";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import type { Field as FormField } from "../forms/fields";
import { texts } from "../texts";
import { Dialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { Loaded } from "../ui/Notices";
import { describeProblem } from "../ui/problems";
import { hostsOfType } from "./limits";
import { CONTROLS, changeOf, choicesOf, controlOf, credentialFields, credentialOf } from "./values";

const said = texts.credentials;

interface CredentialFormProps {
  /** The credential that is changed; without one, a new one is created. */
  existing?: Schemas["CredentialView"];
  /** The name of a new one. */
  name?: string | undefined;
  onClose: () => void;
  onSaved: (name: string) => void;
}

/**
 * A form with the limits of a credential and the fields of its type.
 *
 * Values that are stored are never shown. Of a credential that exists, only what is entered changes.
 */
export function CredentialForm({ existing: opened, name: given, onClose, onSaved }: CredentialFormProps) {
  // What the form began with, also if the page behind it loads the credential again.
  const [existing] = useState(opened);
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
  const hosts = types.find((one) => one.name === type)?.hosts;
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const entered = new Map(
      [...new FormData(event.currentTarget as HTMLFormElement)].map(([name, value]) => [name, String(value)]),
    );
    const name = existing?.name ?? entered.get(CONTROLS.name) ?? "";
    const params = { path: { name } };
    try {
      const made = credentialOf(fields, entered);
      const change = existing && changeOf(fields, entered, existing);
      if (change === undefined || (existing?.problem && change.values)) {
        // Values that can't be read can't be kept either.
        await api.PUT("/api/v1/credentials/{name}", { params, body: { type, ...made } });
      } else if (Object.keys(change).length > 0) {
        await api.PATCH("/api/v1/credentials/{name}", { params, body: change });
      } else {
        setProblem(said.nothingEntered);
        return;
      }
      onSaved(name);
    } catch (error) {
      setProblem(error instanceof SyntaxError ? said.badJson(error.message) : describeProblem(error).detail);
    }
  };
  return (
    <Dialog
      title={existing ? said.change(existing.name) : said.create}
      onClose={onClose}
      actions={
        <button type="submit" form={form} class="button button-primary" disabled={type === ""}>
          {texts.common.save}
        </button>
      }
    >
      <form id={form} class="form" onSubmit={submit} autocomplete="off">
        {existing ? (
          <p>{existing.problem ? said.unreadableDetail : said.changeDetail}</p>
        ) : (
          <>
            <Field label={said.name} hint={said.nameHint}>
              <input name={CONTROLS.name} defaultValue={given} required maxLength={100} />
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
            {() => (
              <>
                {fields.map((field) => (
                  <Value key={`${type} ${field.name}`} field={field} stored={existing !== undefined} />
                ))}
                <Field label={said.optional(said.limits.flows)} hint={said.limits.flowsHint}>
                  <Lines name={CONTROLS.flows} lines={existing?.flows} placeholder={said.limits.allFlows} />
                </Field>
                <Field label={said.optional(said.limits.hosts)} hint={said.limits.hostsHint}>
                  <Lines name={CONTROLS.hosts} lines={existing?.hosts} placeholder={hostsOfType(hosts)} />
                </Field>
              </>
            )}
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

/** Texts, each on a line. */
function Lines({
  lines = [],
  ...control
}: {
  name: string;
  lines: readonly string[] | undefined;
  placeholder: string;
}) {
  return (
    <textarea
      {...control}
      defaultValue={lines.join("\n")}
      rows={Math.max(2, Math.min(lines.length, 6))}
      spellcheck={false}
    />
  );
}

/** The control of a value. If the credential is stored, it is empty for what stays; an optional value can be removed. */
function Value({ field, stored }: { field: FormField; stored: boolean }) {
  const [removed, setRemoved] = useState(false);
  const { name, label, required, placeholder } = field;
  const kept = required ? said.unchanged : said.unchangedIfSet;
  const absent = { placeholder, option: placeholder === "" ? "" : said.byDefault(placeholder) };
  const empty = removed ? said.removed : kept;
  return (
    <div class="stack credential-value">
      <Field
        label={required ? label : said.optional(label)}
        hint={[field.description, controlOf(field) === "lines" ? said.lines : ""].filter(Boolean).join(" ")}
      >
        {control(
          field,
          { name, required: required && !stored, disabled: removed },
          stored ? { placeholder: empty, option: empty } : absent,
        )}
      </Field>
      {stored && !required && (
        <label class="cluster credential-removal">
          <input
            type="checkbox"
            name={CONTROLS.removal(name)}
            checked={removed}
            onChange={(event) => setRemoved(event.currentTarget.checked)}
          />
          {said.remove(label)}
        </label>
      )}
    </div>
  );
}

interface Shared {
  name: string;
  required: boolean;
  disabled: boolean;
}

/** The control of a value. `empty`: what it shows without one, and its first option if it has options. */
function control(field: FormField, shared: Shared, empty: { placeholder: string; option: string }) {
  const written = { ...shared, placeholder: empty.placeholder };
  switch (controlOf(field)) {
    case "secret":
      return <textarea {...written} rows={1} class="secret" spellcheck={false} autocomplete="off" />;
    case "boolean":
    case "choice":
      return (
        <select {...shared}>
          <option value="">{empty.option}</option>
          {choicesOf(field).map((option) => (
            <option key={option} value={option}>
              {option}
            </option>
          ))}
        </select>
      );
    case "number":
      return <input type="number" {...written} />;
    case "lines":
    case "json":
      return <textarea {...written} rows={3} spellcheck={false} />;
    default:
      return <input {...written} spellcheck={false} />;
  }
}
