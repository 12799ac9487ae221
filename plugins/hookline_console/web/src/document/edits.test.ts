import { describe, expect, test } from "vitest";
import schema from "../../../../../flows/flow.schema.json";
import {
  type Change,
  deleteStep,
  difference,
  duplicateStep,
  format,
  idProblem,
  insertStep,
  moveStep,
  newId,
  renameMember,
  renameStep,
  setValue,
  wrapStep,
} from "./edits";
import { readDocument } from "./flow_document";
import { ordersOf } from "./format";
import { act, textAfter } from "./samples";
import { BLOCKS, type BlockKey } from "./steps";
import { memberOf, type Tree, textOf, toJson, treeFrom } from "./tree";

const orders = ordersOf(schema);
const FLOW = {
  id: "f",
  trigger: { use: "webhook", with: { verify: "none" } },
  steps: [
    act("a"),
    {
      id: "way",
      switch: [
        { when: "{{ body.x }}", steps: [act("b"), act("c")] },
        { otherwise: true, steps: [] },
      ],
    },
    act("d", { n: "{{ steps.a.body }}" }),
  ],
};
const choice = (steps: unknown[]) => ({ id: "way", switch: [{ when: "{{ body.x }}", steps }] });
const canonical = (flow: unknown) =>
  textAfter(JSON.stringify(flow), format(readDocument(JSON.stringify(flow)), orders));
const document = readDocument(canonical(FLOW));

function edited(change: Change | null) {
  const text = textAfter(document.text, change);
  // Whatever is changed, the text stays as `hookline fmt` writes it.
  expect(text).toBe(canonical(JSON.parse(text)));
  return readDocument(text);
}

const ids = (change: Change | null) => edited(change).steps.map((step) => step.id);
const changedStep = (change: Change | null) =>
  edited(change).steps.find((step) => step.pointer === change?.pointer)?.id;

describe("a value", () => {
  test("is written, and the objects on the way are made", () => {
    const made = edited(setValue(document, "/steps/0/retry/attempts", treeFrom(3), orders));
    expect(JSON.parse(made.text).steps[0].retry).toEqual({ attempts: 3 });
  });

  test("is removed", () => {
    expect(JSON.parse(edited(setValue(document, "/steps/0/with", undefined, orders)).text).steps[0]).toEqual({
      id: "a",
      use: "map",
    });
  });

  test("keeps the digits of numbers beside it", () => {
    const exact = readDocument('{"id": "f", "vars": {"n": 12345678901234567890}, "steps": []}');
    const changed = textAfter(exact.text, setValue(exact, "/title", treeFrom("T"), orders));
    expect(changed).toContain('"n": 12345678901234567890');
  });

  test("that is written back gives the same bytes", () => {
    const there = edited(setValue(document, "/steps/2/with/body/n", treeFrom("x".repeat(150)), orders));
    const back = setValue(there, "/steps/2/with/body/n", treeFrom("{{ steps.a.body }}"), orders);
    expect(textAfter(there.text, back)).toBe(document.text);
  });

  test("has another name in its place", () => {
    const made = edited(renameMember(document, "/steps/0/with/body", "text", orders));
    expect(Object.keys(JSON.parse(made.text).steps[0].with)).toEqual(["text"]);
    expect(renameMember(document, "/steps/0/id", "use", orders)).toBeNull();
  });

  test("isn't changed in a text that isn't JSON, or at a place that can't be", () => {
    expect(setValue(readDocument(document.text.slice(0, -3)), "/title", treeFrom("T"), orders)).toBeNull();
    expect(setValue(document, "/id/x", treeFrom("T"), orders)).toBeNull();
    expect(setValue(document, "/steps/9", treeFrom({}), orders)).toBeNull();
    // Only one of the two would be left.
    expect(format(readDocument('{"id": "f", "id": "g"}'), orders)).toBeNull();
  });
});

describe("a step", () => {
  test("is inserted with an id of its own", () => {
    const change = insertStep(
      document,
      { list: "/steps/1/switch/1/steps", index: 0 },
      treeFrom(act("a")),
      orders,
    );
    expect(ids(change)).toEqual(["a", "way", "b", "c", "a_2", "d"]);
    expect(changedStep(change)).toBe("a_2");
    expect(newId(document, treeFrom({ use: "http.request" }))).toBe("http_request");
  });

  test("is inserted into a list that isn't there yet", () => {
    expect(
      ids(insertStep(document, { list: "/on_error", index: 0 }, treeFrom(act("e")), orders)).at(-1),
    ).toBe("e");
  });

  test.each([
    ["/steps/0", "/steps", 2, ["way", "b", "c", "a", "d"]],
    ["/steps/2", "/steps", 0, ["d", "a", "way", "b", "c"]],
    ["/steps/0", "/steps/1/switch/0/steps", 1, ["way", "b", "a", "c", "d"]],
    ["/steps/1/switch/0/steps/1", "/steps", 0, ["c", "a", "way", "b", "d"]],
    ["/steps/1/switch/0/steps/0", "/steps", 3, ["a", "way", "c", "d", "b"]],
    ["/steps/0", "/steps", 1, ["a", "way", "b", "c", "d"]],
  ])("is moved from %s to %s/%i", (pointer, list, index, expected) => {
    const moved = document.steps.find((step) => step.pointer === pointer)?.id;
    const change = moveStep(document, pointer, { list, index }, orders);
    expect(ids(change)).toEqual(expected);
    expect(changedStep(change)).toBe(moved);
  });

  test("that lands in the place for all other messages makes the case for them", () => {
    const flow = { ...FLOW, steps: [act("a"), choice([act("b")]), act("d")] };
    const without = readDocument(canonical(flow));
    const place = { list: "/steps/1/switch/-/steps", index: 0 };
    for (const [change, moved] of [
      [moveStep(without, "/steps/0", place, orders), "a"],
      [moveStep(without, "/steps/1/switch/0/steps/0", place, orders), "b"],
      [insertStep(without, place, treeFrom(act("new")), orders), "new"],
    ] as const) {
      const made = readDocument(textAfter(without.text, change));
      const way = made.steps.find((step) => step.id === "way");
      expect(toJson(way?.step as Tree)).toMatchObject({
        switch: [{}, { otherwise: true, steps: [{ id: moved }] }],
      });
      expect(made.steps.find((step) => step.pointer === change?.pointer)?.id).toBe(moved);
    }
  });

  test("isn't moved into itself", () => {
    expect(moveStep(document, "/steps/1", { list: "/steps/1/switch/0/steps", index: 0 }, orders)).toBeNull();
  });

  test("is deleted, and the one in its place is chosen", () => {
    expect(ids(deleteStep(document, "/steps/1", orders))).toEqual(["a", "d"]);
    expect(changedStep(deleteStep(document, "/steps/1", orders))).toBe("d");
    expect(changedStep(deleteStep(document, "/steps/2", orders))).toBe("way");
  });

  test("is duplicated with all in it, and the copy refers to its own steps", () => {
    const flow = {
      ...FLOW,
      steps: [{ id: "each", foreach: "$.body", steps: [act("x"), act("y", "$.steps.x.body")] }],
    };
    const source = readDocument(canonical(flow));
    const copied = JSON.parse(textAfter(source.text, duplicateStep(source, "/steps/0", orders)));
    expect(copied.steps[1]).toEqual({
      id: "each_2",
      foreach: "$.body",
      steps: [act("x_2"), act("y_2", "$.steps.x_2.body")],
    });
    expect(copied.steps[0]).toEqual(flow.steps[0]);
  });

  test.each(BLOCKS)("is wrapped in a %s", (kind: BlockKey) => {
    const change = wrapStep(document, "/steps/0", kind, orders);
    const made = edited(change);
    expect(made.steps.map((step) => step.id)).toContain("a");
    expect(JSON.parse(made.text).steps[0]).toHaveProperty(kind);
    expect(made.steps[1]?.pointer.startsWith("/steps/0/")).toBe(true);
  });

  test("has another id everywhere", () => {
    const made = edited(renameStep(document, "/steps/0", "first", orders));
    expect(made.text).toContain("{{ steps.first.body }}");
    expect(made.steps[0]?.id).toBe("first");
    expect(renameStep(document, "/steps/0", "d", orders)).toBeNull();
    expect(renameStep(document, "/steps/0", "Not an id", orders)).toBeNull();
  });
});

describe("steps that name no id", () => {
  const log = (message: string) => ({ use: "log", with: { message } });
  const flow = (...steps: unknown[]) =>
    readDocument(canonical({ id: "f", steps: [...steps, act("end", "$.steps.log_2.body")] }));
  const stepsAfter = (from: ReturnType<typeof flow>, change: Change | null) => {
    const text = textAfter(from.text, change);
    const made = readDocument(text);
    expect(text).toBe(canonical(JSON.parse(text)));
    return {
      written: JSON.parse(text).steps,
      ids: Object.fromEntries(
        made.steps.map(({ id, step }) => [textOf(memberOf(memberOf(step, "with"), "message")) ?? id, id]),
      ),
    };
  };
  const three = flow(log("one"), log("two"), log("three"));

  test("keep the ones by which expressions read them, wherever they are moved", () => {
    const ids = { one: "log", two: "log_2", three: "log_3", end: "end" };
    expect(stepsAfter(three, moveStep(three, "/steps/1", { list: "/steps", index: 0 }, orders)).ids).toEqual(
      ids,
    );
    expect(stepsAfter(three, moveStep(three, "/steps/0", { list: "/steps", index: 4 }, orders)).ids).toEqual(
      ids,
    );
  });

  test("keep them when one before is deleted, and those behind it are written", () => {
    const { written, ids } = stepsAfter(three, deleteStep(three, "/steps/0", orders));
    expect(ids).toEqual({ two: "log_2", three: "log_3", end: "end" });
    expect(written[0]).toEqual({ id: "log_2", ...log("two") });
    const blocks = flow({ try: [log("one")] }, { try: [log("two")] });
    expect(stepsAfter(blocks, deleteStep(blocks, "/steps/0", orders)).ids).toEqual({
      try_2: "try_2",
      two: "log_2",
      end: "end",
    });
  });

  test("get none where the order gives the same", () => {
    const { written } = stepsAfter(three, deleteStep(three, "/steps/2", orders));
    expect(written.slice(0, 2)).toEqual([log("one"), log("two")]);
  });

  test("keep them when one is duplicated, and the copy has one of its own", () => {
    const source = flow(log("one"), log("two"));
    const change = duplicateStep(source, "/steps/0", orders);
    const { written } = stepsAfter(source, change);
    expect(written.slice(0, 3)).toEqual([log("one"), { id: "log_3", ...log("one") }, log("two")]);
  });

  test("keep them when another one is renamed", () => {
    const { ids } = stepsAfter(three, renameStep(three, "/steps/0", "first", orders));
    expect(ids).toEqual({ one: "first", two: "log_2", three: "log_3", end: "end" });
  });

  test("may be given the one that they have already", () => {
    const { written } = stepsAfter(three, renameStep(three, "/steps/1", "log_2", orders));
    expect(written[1]).toEqual({ id: "log_2", ...log("two") });
  });
});

test("an id is rejected if another step has it, or if it can't be one", () => {
  expect(idProblem(document, "/steps/0", "a")).toBeUndefined();
  expect(idProblem(document, "/steps/0", "other")).toBeUndefined();
  expect(idProblem(document, "/steps/0", "d")).toBe("taken");
  expect(idProblem(document, "/steps/0", "Not an id")).toBe("invalid");
});

test("only what differs is changed", () => {
  expect(difference("abcd", "abXd")).toEqual({ from: 2, to: 3, insert: "X" });
  expect(difference("aa", "aaa")).toEqual({ from: 2, to: 2, insert: "a" });
  expect(difference("same", "same")).toEqual({ from: 4, to: 4, insert: "" });
});
