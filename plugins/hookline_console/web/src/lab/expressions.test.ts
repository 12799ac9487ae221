import { describe, expect, it } from "vitest";
import { readDocument } from "../document/flow_document";
import { expressionAt, expressionsOf, mappersOf } from "./expressions";

const FLOW = readDocument(
  JSON.stringify({
    id: "orders",
    mappers: ["jsonata"],
    steps: [
      {
        id: "order",
        use: "map",
        when: "$.body.paid",
        with: {
          body: {
            number: "$.body.number",
            name: "{{ body.name | upper }}",
            sum: { jsonata: "$sum(body.lines.price)", default: 0 },
            none: { jmespath: "body" },
            "a/b": ["plain", 5],
            as_it_is: { literal: "$.body" },
          },
        },
      },
      {
        id: "each",
        foreach: "$.body.lines",
        as: "line",
        steps: [{ use: "log", with: { message: "{{ line }}" } }],
      },
    ],
  }),
);

const expressions = (index: number) => {
  const step = FLOW.steps[index];
  return step ? expressionsOf(step, mappersOf(FLOW.tree)) : [];
};

describe("the expressions of a step", () => {
  it("have their language, place and text", () => {
    expect(expressions(0).map(({ name, language, text }) => [name, language, text])).toEqual([
      ["when", "jsonpath", "$.body.paid"],
      ["with.body.number", "jsonpath", "$.body.number"],
      ["with.body.name", "jinja", "{{ body.name | upper }}"],
      ["with.body.sum", "jsonata", "$sum(body.lines.price)"],
      // JMESPath isn't listed, so that this is an object with a text.
      ["with.body.none.jmespath", "text", "body"],
      ["with.body.a/b.0", "text", "plain"],
    ]);
    expect(expressions(0)[3]?.textPointer).toBe("/steps/0/with/body/sum/jsonata");
    expect(expressions(0)[5]?.pointer).toBe("/steps/0/with/body/a~1b/0");
  });

  it("leave out those of the steps inside", () => {
    expect(expressions(1).map(({ pointer }) => pointer)).toEqual(["/steps/1/foreach"]);
    expect(expressions(2).map(({ pointer }) => pointer)).toEqual(["/steps/1/steps/0/with/message"]);
  });

  it("are found from a place inside", () => {
    expect(expressionAt(expressions(0), "/steps/0/with/body/sum/jsonata")?.name).toBe("with.body.sum");
    expect(expressionAt(expressions(0), "/steps/0/with")).toBeUndefined();
  });

  it("stay while they are typed and are no expressions yet", () => {
    const steps = [
      { use: "map", when: "{", with: "$" },
      { foreach: "x", as: "line", steps: [] },
      { switch: [{ when: "", steps: [] }] },
      { use: "log", credential: "shop", retry: { attempts: "x" }, with: { message: "m" } },
    ];
    const { steps: places } = readDocument(JSON.stringify({ steps }));
    expect(places.map((place) => expressionsOf(place, []).map(({ name }) => name))).toEqual([
      ["when", "with"],
      ["foreach"],
      ["switch.0.when"],
      ["with.message"],
    ]);
  });
});
