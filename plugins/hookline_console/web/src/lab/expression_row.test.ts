import type { VNode } from "preact";
import { expect, test } from "vitest";
import { ExpressionRow } from "./ExpressionRow";

/** The properties of the control of a row. */
function controlOf(text: string, readOnly = false) {
  const expression = { pointer: "/a", textPointer: "/a", name: "with.a", language: "jinja", text } as const;
  const nothing = () => undefined;
  const row = ExpressionRow({
    ...{ expression, evaluated: undefined, chosen: false, readOnly },
    ...{ onChoose: nothing, onCaret: nothing, onText: nothing },
  });
  const parts = (node: VNode<{ children?: unknown }>): VNode<Record<string, unknown>>[] => [
    node as VNode<Record<string, unknown>>,
    ...[node.props.children]
      .flat()
      .filter((each) => typeof each === "object" && each !== null)
      .flatMap((each) => parts(each as VNode)),
  ];
  const control = parts(row as VNode).find(({ type }) => type === "textarea");
  if (!control) throw new Error("no control");
  return control.props;
}

test("an expression of several lines keeps them", () => {
  const text = "{% for line in body.lines %}\n{{ line }}\n{% endfor %}";
  expect(controlOf(text)).toMatchObject({ value: text, rows: 3, readOnly: false });
});

test("an expression isn't changed by readers, or if its control would change it", () => {
  expect(controlOf("{{ a }}", true).readOnly).toBe(true);
  expect(controlOf("{{ a }}\r\n").readOnly).toBe(true);
});
