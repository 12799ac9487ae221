import { expect, test, vi } from "vitest";
import { ApiError } from "../api/problem";
import { recordedBody, textToSend } from "./replayed_body";
import { loadText } from "./values";

vi.mock("./values");

const execution = { id: "1", steps: [] } as unknown as Parameters<typeof recordedBody>[0];
const recorded = () => recordedBody(execution, "", undefined, new AbortController().signal);

test("a recorded body is offered with all of its digits", async () => {
  vi.mocked(loadText).mockResolvedValueOnce('{"id": 9007199254740993}');
  expect(await recorded()).toBe('{\n  "id": 9007199254740993\n}');
});

test("a body that can't be loaded, or is too large to be edited, is an error", async () => {
  const unreachable = new ApiError(0, {});
  vi.mocked(loadText).mockRejectedValueOnce(unreachable);
  await expect(recorded()).rejects.toBe(unreachable);
  vi.mocked(loadText).mockResolvedValueOnce(`"${"x".repeat(500_000)}"`);
  await expect(recorded()).rejects.toThrow("too large");
});

test("nothing is sent in place of a body that loads or couldn't be loaded, unless somebody has written it", () => {
  const failed = { value: undefined, error: new Error("no answer") };
  expect(textToSend(null, { value: undefined, error: undefined })).toBeNull();
  expect(textToSend(null, failed)).toBeNull();
  expect(textToSend("", failed)).toBe("");
  expect(textToSend("{}", failed)).toBe("{}");
  expect(textToSend(null, { value: "[1]", error: undefined })).toBe("[1]");
});

test("a body that isn't recorded is null until somebody writes it", () => {
  expect(textToSend(null, { value: null, error: undefined })).toBe("null");
});
