import { describe, expect, test } from "vitest";
import { dragAfter, type StepDrag } from "./step_drag";

const event = (type: string, given: object = {}) => ({
  ...{ type, button: 0, buttons: 1, ctrlKey: false, pointerType: "mouse", clientX: 0, clientY: 0 },
  ...given,
});
const dragOf = (...events: ReturnType<typeof event>[]) =>
  events.reduce<StepDrag | null>((before, each) => dragAfter(before, each, "/steps/0"), null);

describe("a press on a step", () => {
  test("becomes a drag once the pointer has moved, and stays one", () => {
    const press = event("pointerdown");
    expect(dragOf(press)?.moved).toBe(false);
    expect(dragOf(press, event("pointermove", { clientX: 3 }))?.moved).toBe(false);
    expect(dragOf(press, event("pointermove", { clientX: 9 }))?.moved).toBe(true);
    expect(dragOf(press, event("pointermove", { clientX: 9 }), event("pointermove"))?.moved).toBe(true);
  });

  test.each([
    ["with another button", { button: 2, buttons: 2 }],
    ["with Ctrl, which opens a menu on a Mac", { ctrlKey: true }],
    ["with a finger, which moves the picture", { pointerType: "touch" }],
  ])("%s is none", (_, given) => {
    expect(dragOf(event("pointerdown", given), event("pointermove", { clientX: 9 }))).toBeNull();
  });

  test("is over once no button is pressed, also if its end went elsewhere", () => {
    expect(dragOf(event("pointerdown"), event("pointermove", { buttons: 0, clientX: 9 }))).toBeNull();
    expect(dragOf(event("pointerdown"), event("pointerup", { buttons: 0 }))).toBeNull();
  });
});
