import type { Schemas } from "../api/client";

type Component = Schemas["ComponentView"];

/** The components with all words of a text in their names or descriptions; those with the text in the name come first. */
export function matching(components: readonly Component[], text: string, kind: string): Component[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = components.filter((component) => {
    const all =
      `${component.name} ${component.title} ${component.description} ${component.connector ?? ""}`.toLowerCase();
    return (kind === "" || component.kind === kind) && words.every((word) => all.includes(word));
  });
  const named = (component: Component) => words.every((word) => component.name.toLowerCase().includes(word));
  return [...found.filter(named), ...found.filter((component) => !named(component))];
}
