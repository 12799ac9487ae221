import { expect, test, vi } from "vitest";
import { api } from "../api/client";
import { ServerNames } from "./names";

vi.mock("../api/client", () => ({
  api: { GET: vi.fn() },
  body: async (call: Promise<{ data: unknown }>) => (await call).data,
}));

const credential = {
  pointer: ["steps", "0", "credential"],
  use: "log",
  credential: "",
  settings: {},
  typed: "",
};

test("a credential that is made meanwhile is offered once somebody comes back", async () => {
  let made = [{ name: "old", type: "token" }];
  vi.mocked(api.GET).mockImplementation((async (path: string) => ({
    data: { items: path === "/api/v1/credentials" ? made : [] },
  })) as never);
  const names = new ServerNames();
  const offered = async () => (await names.at(credential)).map(({ value }) => value);
  expect(await offered()).toEqual(["old"]);
  made = [...made, { name: "new", type: "token" }];
  expect(await offered()).toEqual(["old"]);
  names.forget();
  expect(await offered()).toEqual(["old", "new"]);
});
