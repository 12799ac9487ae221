/** An example of a component in a flow, made from the types of its settings. */

import type { Schemas } from "../api/client";

type Component = Schemas["ComponentView"];
type Setting = Schemas["SettingView"];

/** A value of a type, such as `text`, `integer or null`, `list of text` or `"first" or "all"`. */
export function exampleValue(setting: Pick<Setting, "name" | "type" | "default">): unknown {
  if (setting.default !== null && setting.default !== undefined) return setting.default;
  const type = setting.type.split(" or ")[0] ?? "";
  if (type.startsWith('"')) return JSON.parse(type);
  if (type.startsWith("list")) return [];
  const values: Record<string, unknown> = {
    integer: 1,
    number: 1,
    "true or false": true,
    true: true,
    duration: "30s",
    object: {},
    expression: "$.body",
    "any JSON value": "$.body",
    URL: "https://example.com",
    attachment: "$.attachments[0]",
  };
  return values[type] ?? `<${setting.name}>`;
}

/** A step, a trigger, a verification or a command with this component; undefined if it is no part of a flow's JSON. */
export function exampleOf(component: Component): unknown {
  const settings = Object.fromEntries(
    component.settings
      .filter((setting) => setting.required)
      .map((setting) => [setting.name, exampleValue({ ...setting, default: null })]),
  );
  const given = Object.keys(settings).length > 0 ? { with: settings } : {};
  const credential = component.credential_types.length > 0 ? { credential: "<name>" } : {};
  switch (component.kind) {
    case "action":
    case "block":
      return { id: component.name.split(".").at(-1), use: component.name, ...given, ...credential };
    case "trigger":
      return { trigger: { use: component.name, ...given, ...credential } };
    case "scheme":
      return {
        trigger: { use: "webhook", with: { verify: { scheme: component.name, ...credential, ...settings } } },
      };
    default:
      return undefined;
  }
}
