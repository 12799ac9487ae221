import { expect, test } from "vitest";
import { renamedReferences } from "./references";
import { treeFrom } from "./tree";

function renamed(value: unknown): unknown {
  const found = renamedReferences(treeFrom([value]), "order", "sale");
  return found.size === 0 ? undefined : [...found.values()][0];
}

test.each([
  ["$.steps.order.body.id", "$.steps.sale.body.id"],
  ["$['steps']['order'].body", "$['steps']['sale'].body"],
  ['$.steps["order"]', '$.steps["sale"]'],
  ["{{ steps.order.body }} of steps.order", "{{ steps.sale.body }} of steps.order"],
  ["{% if steps['order'] %}x{% endif %}", "{% if steps['sale'] %}x{% endif %}"],
  [{ jsonata: "$sum(steps.order.body.lines.price)" }, "$sum(steps.sale.body.lines.price)"],
  [{ jmespath: "steps.order.body" }, "steps.sale.body"],
])("%j names the step", (value, expected) => {
  expect(renamed(value)).toBe(expected);
});

test.each([
  "$.steps.order_2.body",
  "$.steps.orders",
  "$.body.steps.order",
  "{{ body.steps.order }}",
  "steps.order",
  { literal: "$.steps.order" },
  "$.vars.order",
])("%j doesn't name the step", (value) => {
  expect(renamed(value)).toBeUndefined();
});
