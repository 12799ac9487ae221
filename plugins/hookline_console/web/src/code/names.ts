/** Names that the server has: credentials, flows, and the options that the service of an action offers. */

import { api, body, type Schemas } from "../api/client";
import { ApiError } from "../api/problem";
import { covers } from "../credentials/limits";

export interface Name {
  value: string;
  label: string;
}

/** A text that is being written. */
interface Written {
  /** The id of its flow. */
  flowId: string;
  /** The parts of its pointer. */
  pointer: readonly string[];
  /** The action or trigger whose text it is. */
  use: string;
  credential: string | undefined;
  settings: Readonly<Record<string, unknown>>;
  /** What of it stands before the cursor. */
  typed: string;
}

export class ServerNames {
  private readonly components = once(() => body(api.GET("/api/v1/components")));
  private lists = newLists();

  /** Load the credentials and the flows again when they are next needed, since there may be more of them. */
  forget(): void {
    this.lists = newLists();
  }

  /** The names that a text may have at its place; none if anything may stand there. */
  async at(written: Written): Promise<readonly Name[]> {
    const name = written.pointer.at(-1);
    const around = written.pointer.at(-2);
    try {
      if (name === "credential")
        return await this.credentialsFor(written.flowId, around === "verify" ? "" : written.use);
      if (written.use === "flow" && around === "with" && name === "id") return await this.flowNames();
      if (written.pointer.length === 1 && name === "on_error") return await this.flowNames();
      return around === "with" ? await this.optionsOf(written, name ?? "") : [];
    } catch (error) {
      // A service that doesn't answer is no reason to disturb who types.
      if (error instanceof ApiError) return [];
      throw error;
    }
  }

  /** The settings of an action or trigger whose options its service knows. */
  async offered(use: string): Promise<ReadonlySet<string>> {
    const { items } = await this.components();
    const settings = items.find((each) => each.name === use && isUsed(each))?.settings ?? [];
    return new Set(settings.filter((each) => each.options).map((each) => each.name));
  }

  /** The credentials of the types that an action or trigger takes, and that its flow may use. */
  private async credentialsFor(flowId: string, use: string): Promise<Name[]> {
    const [components, credentials] = await Promise.all([this.components(), this.lists.credentials()]);
    const component = components.items.find((each) => each.name === use && isUsed(each));
    const types = component?.credential_types ?? [];
    return credentials.items
      .filter((each) => types.length === 0 || types.includes(each.type))
      .filter((each) => covers(each.flows, flowId))
      .map(({ name, type }) => ({ value: name, label: type }));
  }

  private async flowNames(): Promise<Name[]> {
    const { items } = await this.lists.flows();
    return items.map(({ id, title }) => ({ value: id, label: title || id }));
  }

  private async optionsOf({ use, credential, settings, typed }: Written, setting: string): Promise<Name[]> {
    const { items } = await this.components();
    const component = items.find((each) => each.name === use && isUsed(each));
    const options = component?.settings.find((each) => each.name === setting)?.options;
    if (!options) return [];
    const found = await body(
      api.POST("/api/v1/components/{component}/options/{setting}", {
        params: { path: { component: use, setting } },
        body: {
          credential: credential ?? null,
          with: { ...settings },
          search: options.search ? typed : "",
        },
      }),
    );
    return found.items.map(({ value, label }) => ({ value: String(value), label }));
  }
}

function isUsed({ kind }: Schemas["ComponentView"]): boolean {
  return kind === "action" || kind === "trigger" || kind === "block";
}

const newLists = () => ({
  credentials: once(() => body(api.GET("/api/v1/credentials"))),
  flows: once(() => body(api.GET("/api/v1/flows"))),
});

/** A function that loads its value when it is first called; a failure is tried again. */
function once<T>(load: () => Promise<T>): () => Promise<T> {
  let loading: Promise<T> | undefined;
  return () => {
    loading ??= load().catch((error) => {
      loading = undefined;
      throw error;
    });
    return loading;
  };
}
