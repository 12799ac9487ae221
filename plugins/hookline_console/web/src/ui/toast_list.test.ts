import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ToastList } from "./toast_list";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const texts = (toasts: ToastList) => toasts.shown.map((each) => each.text);

test("a message is shown for some seconds, for longer if it is bad or has a button", () => {
  const toasts = new ToastList();
  toasts.add("good", "ok");
  toasts.add("bad", "bad");
  toasts.add("served", "ok", { label: "Roll back", act: () => {} });
  vi.advanceTimersByTime(6000);
  expect(texts(toasts)).toEqual(["bad", "served"]);
  vi.advanceTimersByTime(6000);
  expect(texts(toasts)).toEqual(["served"]);
  vi.advanceTimersByTime(8000);
  expect(texts(toasts)).toEqual([]);
});

test("no message goes while the pointer or the focus is among them", () => {
  const toasts = new ToastList();
  toasts.add("first", "ok");
  toasts.hold("pointer");
  toasts.hold("focus");
  toasts.add("second", "ok");
  toasts.release("pointer");
  vi.advanceTimersByTime(60_000);
  expect(texts(toasts)).toEqual(["first", "second"]);
  toasts.release("focus");
  vi.advanceTimersByTime(6000);
  expect(texts(toasts)).toEqual([]);
});

test("a message that is closed while the pointer is at it holds no later one", () => {
  const toasts = new ToastList();
  toasts.add("first", "ok");
  toasts.hold("pointer");
  toasts.drop(toasts.shown[0]?.id ?? 0);
  toasts.add("second", "ok");
  vi.advanceTimersByTime(6000);
  expect(texts(toasts)).toEqual([]);
});
