import { expect, test } from "vitest";
import { fromValue } from "../json/json";
import { definitions, originOf } from "./definition";

const STEPS = definitions(
  fromValue({
    id: "orders",
    steps: [
      { id: "order", use: "map" },
      { use: "http.request" },
      { use: "http.request" },
      {
        id: "tell",
        parallel: {
          warehouse: [
            {
              id: "lines",
              foreach: "$.body",
              steps: [
                { id: "check", use: "map" },
                { id: "post", use: "map" },
              ],
            },
          ],
          shop: [{ id: "shop", use: "map" }],
        },
      },
      {
        id: "kind",
        switch: [
          { when: true, steps: [{ use: "stop" }] },
          { otherwise: true, steps: [{ id: "late", use: "map" }] },
        ],
      },
      {
        id: "safe",
        try: [{ id: "first", use: "map" }],
        catch: [{ id: "second", use: "map" }],
        finally: [{ id: "third", use: "map" }],
      },
    ],
  }),
);

test("every step is found by its path, those without an id by the name that they get", () => {
  expect([...STEPS.keys()]).toEqual([
    "order",
    "http_request",
    "http_request_2",
    "tell",
    "tell/lines",
    "tell/lines/check",
    "tell/lines/post",
    "tell/shop",
    "kind",
    "kind/stop",
    "kind/late",
    "safe",
    "safe/first",
    "safe/second",
    "safe/third",
  ]);
});

test("a message comes from the step before, or from that before the block around", () => {
  const all = () => true;
  expect(originOf(STEPS, "http_request", all)).toEqual({ step: "order" });
  expect(originOf(STEPS, "tell/shop", all)).toEqual({ step: "http_request_2" });
  expect(originOf(STEPS, "tell/lines[3]/post", all)).toEqual({ step: "tell/lines[3]/check" });
  expect(originOf(STEPS, "kind/late", (path) => path !== "tell")).toEqual({ step: "http_request_2" });
});

test("the first step has the message of the execution, the first step of an item has the item", () => {
  expect(originOf(STEPS, "order", () => true)).toBe("message");
  expect(originOf(STEPS, "http_request", () => false)).toBe("message");
  expect(originOf(STEPS, "tell/lines[3]/check", () => true)).toBe("item");
});
