import { describe, expect, test } from "vitest";
import schema from "../../../../../flows/flow.schema.json";
import type { Editing } from "../code/editing";
import { type Change, format } from "../document/edits";
import { readDocument } from "../document/flow_document";
import { ordersOf } from "../document/format";
import { act, textAfter } from "../document/samples";
import { BLOCKS } from "../document/steps";
import type { Schema } from "../forms/schema";
import { ACTS, readersOf, type StepAct } from "./acts";
import { type Choice, choicesAt, insertAt, spotsAt } from "./inserting";
import { actOf, keyText, READING } from "./keys";
import { reasonUnchanged } from "./useBlocks";

const definitions = (schema as unknown as Schema).$defs ?? {};
const orders = ordersOf(schema);
const FLOW = {
  id: "f",
  trigger: { use: "webhook", with: { verify: "none" } },
  steps: [
    act("a"),
    {
      id: "way",
      switch: [
        { when: "{{ body.x }}", steps: [act("b", "$.steps.a.body")] },
        { otherwise: true, steps: [act("c")] },
      ],
    },
    { id: "both", parallel: { one: [act("d")], two: [] } },
    { id: "each", foreach: "$.body", steps: [act("e")] },
    { id: "tried", try: [act("g")], finally: [act("h")] },
    { id: "end", use: "stop" },
  ],
};

const source = JSON.stringify(FLOW);
const document = readDocument(textAfter(source, format(readDocument(source), orders)));

function edited(change: Change | null) {
  const made = readDocument(textAfter(document.text, change));
  expect(textAfter(made.text, format(made, orders))).toBe(made.text);
  return { made, chosen: made.steps.find((step) => step.pointer === change?.pointer)?.id };
}

const pointerOf = (id: string) => document.steps.find((step) => step.id === id)?.pointer ?? "";
const placeOf = (id: string, change: Change | null) =>
  edited(change).made.steps.find((step) => step.id === id)?.pointer;

describe("a step moves", () => {
  test.each<[StepAct, string, string | null]>([
    ["moveDown", "a", "/steps/1"],
    ["moveUp", "way", "/steps/0"],
    ["moveUp", "a", null],
    ["moveDown", "end", null],
    ["moveDown", "b", "/steps/1/switch/1/steps/0"],
    ["moveUp", "c", "/steps/1/switch/0/steps/1"],
    ["moveUp", "b", null],
    ["moveOut", "b", "/steps/2"],
    ["moveOut", "a", null],
    ["moveIn", "a", "/steps/0/switch/0/steps/0"],
    ["moveIn", "end", "/steps/4/finally/1"],
    ["moveIn", "b", null],
  ])("%s: %s to %s", (name, id, expected) => {
    const change = ACTS[name](document, pointerOf(id), orders);
    if (expected === null) return expect(change).toBeNull();
    expect(placeOf(id, change)).toBe(expected);
    expect(edited(change).chosen).toBe(id);
  });

  test.each(["wrapTry", "wrapForeach", "wrapSwitch", "wrapParallel"] as const)(
    "%s keeps the step",
    (name) => {
      expect(placeOf("b", ACTS[name](document, pointerOf("b"), orders))).toMatch(
        /^\/steps\/1\/switch\/0\/steps\/0\/./,
      );
    },
  );
});

test("those that read the result of a deleted step are named, and those in it aren't", () => {
  expect(readersOf(document, pointerOf("a"))).toEqual(["b"]);
  expect(readersOf(document, pointerOf("way"))).toEqual([]);
});

describe("a step is added", () => {
  const choice = (name: string): Choice => ({
    name,
    kind: BLOCKS.includes(name as never) ? "block" : "action",
    description: "",
  });
  const kinds = (id: string | null) =>
    spotsAt(document, id && pointerOf(id)).map(({ kind, name }) => `${kind} ${name}`.trim());

  test("at the places around the selected one, in it, and in the flow", () => {
    expect(kinds(null)).toEqual(["steps", "onError"]);
    expect(kinds("a")).toEqual(["after a", "before a", "steps", "onError"]);
    expect(kinds("way").slice(2, 5)).toEqual(["case {{ body.x }}", "otherwise", "newCase"]);
    expect(kinds("both").slice(2, 5)).toEqual(["branch one", "branch two", "newBranch"]);
    expect(kinds("each").slice(2, 3)).toEqual(["item"]);
    expect(kinds("tried").slice(2, 5)).toEqual(["try", "catch", "finally"]);
  });

  test.each(["a", "way", "both", "each", "tried", "end"])(
    "in every place around %s, and the text stays canonical",
    (id) => {
      for (const { place } of spotsAt(document, pointerOf(id))) {
        const { made, chosen } = edited(insertAt(document, place, choice("log"), { orders, definitions }));
        expect(made.steps).toHaveLength(document.steps.length + 1);
        expect(chosen).toBe("log");
      }
    },
  );

  test("in a new case, before the one that holds if no other does", () => {
    const place = { list: `${pointerOf("way")}/switch/-/steps`, index: 0 };
    const { made } = edited(insertAt(document, place, choice("log"), { orders, definitions }));
    const { switch: cases } = JSON.parse(made.text).steps[1];
    expect(cases.map((each: { when?: string }) => each.when)).toEqual([
      "{{ body.x }}",
      "{{ true }}",
      undefined,
    ]);
  });

  test.each([...BLOCKS, "http.request", "webhook", "flow"])("%s has the members that it needs", (name) => {
    const { made } = edited(
      insertAt(document, { list: "/steps", index: 0 }, choice(name), { orders, definitions }),
    );
    const [step] = JSON.parse(made.text).steps;
    expect(step).toHaveProperty(BLOCKS.includes(name as never) ? name : "use");
    if (name === "http.request") expect(step.with).toEqual({ url: "" });
  });

  test("only if it fits there", () => {
    const names = (list: string, index: number) =>
      choicesAt(document, { list, index }, definitions).map(({ name }) => name);
    expect(names("/steps", 0)).toEqual(expect.arrayContaining([...BLOCKS, "map", "webhook", "batch"]));
    // Steps behind it would never run, and nobody waits for a reply.
    for (const name of ["stop", "fail", "reply"]) expect(names("/steps", 0)).not.toContain(name);
    expect(names("/steps/1/switch/0/steps", 1)).toEqual(expect.arrayContaining(["stop", "fail", "batch"]));
    expect(names("/steps", 6)).toEqual([]);
    for (const list of ["/steps/2/parallel/one", "/steps/3/steps", "/steps/4/finally", "/on_error"]) {
      expect(names(list, 0)).not.toContain("batch");
    }
    expect(names("/steps/4/try", 0)).toContain("batch");
  });
});

test("readers are told that they may not, and others that the text isn't JSON", () => {
  const reason = (readOnly: boolean) =>
    reasonUnchanged({ view: { state: { readOnly } } } as unknown as Editing);
  expect(reason(true)).toContain("author");
  expect(reason(false)).toContain("JSON");
  expect([...READING].filter((act) => act in ACTS || ["undo", "addAfter"].includes(act))).toEqual([]);
});

test("keys are found by what is held, and read as people do", () => {
  const press = (key: string, held: object = {}) =>
    actOf({ key, altKey: false, ctrlKey: false, metaKey: false, shiftKey: false, ...held });
  expect(press("a")).toBe("addAfter");
  expect(press("A", { shiftKey: true })).toBe("addBefore");
  expect(press("ArrowUp", { altKey: true })).toBe("moveUp");
  expect(press("z", { metaKey: true })).toBe("undo");
  expect(press("Z", { ctrlKey: true, shiftKey: true })).toBe("redo");
  expect(press("?", { shiftKey: true })).toBe("keys");
  expect(press("a", { ctrlKey: true })).toBeUndefined();
  expect(keyText("moveUp")).toBe("Alt+↑");
});
