import { expect, test } from "vitest";
import { allSteps, chartOf, plain } from "./chart";
import { act } from "./samples";

test("a chart has the steps of each list, with pointers and ids", () => {
  const document = {
    trigger: { use: "webhook" },
    steps: [
      {
        switch: [
          { when: "$.body.x", steps: [act("a")] },
          { otherwise: true, steps: [] },
        ],
      },
      { id: "each", foreach: "$.body.lines", concurrency: 4, steps: [act("b")] },
      { id: "both", parallel: { "left/1": [act("c")], right: [] } },
      { id: "safe", try: [act("d")], catch: [act("e")], finally: [act("f")] },
    ],
    on_error: [act("g")],
  };
  const chart = chartOf(document, { "/steps/0": "switch" });
  expect(chart.trigger).toBe("webhook");
  expect(allSteps(chart).map((step) => [step.id, step.pointer])).toEqual([
    ["switch", "/steps/0"],
    ["a", "/steps/0/switch/0/steps/0"],
    ["each", "/steps/1"],
    ["b", "/steps/1/steps/0"],
    ["both", "/steps/2"],
    ["c", "/steps/2/parallel/left~11/0"],
    ["safe", "/steps/3"],
    ["d", "/steps/3/try/0"],
    ["e", "/steps/3/catch/0"],
    ["f", "/steps/3/finally/0"],
    ["g", "/on_error/0"],
  ]);
  const [cases, each, both] = chart.steps;
  expect(cases?.lists.map((list) => list.label)).toEqual(["$.body.x", ""]);
  expect([each?.subject, each?.concurrency]).toEqual(["$.body.lines", 4]);
  expect(both?.lists.map((list) => list.label)).toEqual(["left/1", "right"]);
});

test("a switch without a last resort lets the message pass by", () => {
  const chart = chartOf({ steps: [{ switch: [{ when: "$.body.x", steps: [act("a")] }] }] }, {});
  expect(chart.steps[0]?.lists.map((list) => [list.label, list.steps.length])).toEqual([
    ["$.body.x", 1],
    ["", 0],
  ]);
});

test.each([
  [{ use: "flow", with: { id: "other" } }, "call", false],
  [{ use: "webhook" }, "wait", false],
  [{ use: "stop" }, "action", true],
  [{ use: "stop", when: "$.body.x" }, "action", false],
  [{ use: "http.request" }, "action", false],
])("%j is drawn as %s", (step, kind, ends) => {
  const [found] = chartOf({ steps: [step] }, {}).steps;
  expect([found?.kind, found?.ends]).toEqual([kind, ends]);
});

test("a flow that is started on errors has no steps of its own for them", () => {
  const chart = chartOf({ steps: [], on_error: "alarm" }, {});
  expect([chart.onError, chart.onErrorFlow]).toEqual([[], "alarm"]);
});

test.each([null, 1, [], {}, { steps: 1 }, { steps: [1, null] }, { steps: [{ switch: [1] }] }])(
  "%j has a chart, although it is no flow",
  (document) => {
    expect(chartOf(document, {}).trigger).toBe("");
  },
);

test("texts are short, in one line, and hide nothing", () => {
  expect(plain("a\n\tb\u202Ec\u0000\uD800")).toBe("a b\uFFFDc\uFFFD\uFFFD");
  expect(plain("x".repeat(1000))).toHaveLength(201);
  expect(plain({ a: 1 })).toBe('{"a":1}');
  expect(plain(undefined)).toBe("");
});
