/** Charts for the tests of what is drawn. */

import { type Chart, chartOf } from "./chart";

type Step = Readonly<Record<string, unknown>>;

export const act = (id: string, more: object = {}): Step => ({ id, use: "map", ...more });
export const choose = (id: string, ...lists: readonly (readonly Step[])[]): Step => ({
  id,
  switch: lists.map((steps, index) => ({ when: `$.body.n == ${index}`, steps })),
});
export const each = (id: string, ...steps: readonly Step[]): Step => ({ id, foreach: "$.body.lines", steps });

export function chart(...steps: readonly Step[]): Chart {
  return chartOf({ trigger: { use: "webhook" }, steps }, {});
}

/** A flow with so many steps: blocks in blocks, with some steps between them. */
export function large(count: number): Chart {
  let made = 0;
  const next = () => act(`step_${++made}`);
  const block = (depth: number): Step => {
    made += 1;
    const name = `block_${made}`;
    if (depth === 0) return each(name, next(), next());
    const inner = [next(), block(depth - 1), next()];
    const kinds = [
      () => choose(name, inner, [next()], [next(), next()]),
      () => ({ id: name, parallel: { one: inner, two: [next()] } }),
      () => ({ id: name, try: inner, catch: [next()], finally: [next()] }),
    ];
    return (kinds[made % 3] as () => Step)();
  };
  const steps: Step[] = [];
  while (made < count) steps.push(next(), block(2));
  return chart(...steps);
}
