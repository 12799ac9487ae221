import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "../api/problem";
import { type Authorization, untilEnded } from "./authorization";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const authorization = (state: string) => ({ id: "1", url: "", message: "", state }) as Authorization;

test("an authorization is asked for until it has ended, also after the server could not be reached", async () => {
  const ask = vi
    .fn(async () => authorization("done"))
    .mockResolvedValueOnce(authorization("waiting"))
    .mockRejectedValueOnce(new ApiError(0, {}));
  const ended = untilEnded(ask, new AbortController().signal);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await ended).toEqual(authorization("done"));
  expect(ask).toHaveBeenCalledTimes(3);
});

test("an authorization that is gone isn't asked for again", async () => {
  const gone = new ApiError(404, {});
  const ask = vi.fn().mockRejectedValue(gone);
  const ended = untilEnded(ask, new AbortController().signal).catch((error) => error);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await ended).toBe(gone);
  expect(ask).toHaveBeenCalledTimes(1);
});

test("nothing is asked for after the page was left", async () => {
  const ask = vi.fn(async () => authorization("waiting"));
  const page = new AbortController();
  const ended = untilEnded(ask, page.signal);
  await vi.advanceTimersByTimeAsync(3000);
  page.abort();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await ended).toBe(null);
  expect(ask).toHaveBeenCalledTimes(1);
});
