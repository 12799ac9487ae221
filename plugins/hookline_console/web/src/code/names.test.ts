import { expect, test, vi } from "vitest";
import { api } from "../api/client";
import { ServerNames } from "./names";

vi.mock("../api/client", () => ({
  api: { GET: vi.fn() },
  body: async (call: Promise<{ data: unknown }>) => (await call).data,
}));

const credential = {
  flowId: "orders",
  pointer: ["steps", "0", "credential"],
  use: "log",
  credential: "",
  settings: {},
  typed: "",
};

test("a credential that is made meanwhile is offered once somebody comes back", async () => {
  let made = [{ name: "old", type: "token", flows: [] as string[] }];
  vi.mocked(api.GET).mockImplementation((async (path: string) => ({
    data: { items: path === "/api/v1/credentials" ? made : [] },
  })) as never);
  const names = new ServerNames();
  const offered = async () => (await names.at(credential)).map(({ value }) => value);
  expect(await offered()).toEqual(["old"]);
  made = [...made, { name: "new", type: "token", flows: ["orders"] }];
  expect(await offered()).toEqual(["old"]);
  names.forget();
  expect(await offered()).toEqual(["old", "new"]);
});

test("a credential is offered only to the flows that may use it", async () => {
  const all = { name: "all", type: "token", flows: [] };
  const billing = { name: "billing", type: "token", flows: ["billing-*", "invoices"] };
  vi.mocked(api.GET).mockImplementation((async (path: string) => ({
    data: { items: path === "/api/v1/credentials" ? [all, billing] : [] },
  })) as never);
  const names = new ServerNames();
  const offered = async (flowId: string) =>
    (await names.at({ ...credential, flowId })).map(({ value }) => value);
  expect(await offered("orders")).toEqual(["all"]);
  expect(await offered("billing-eu")).toEqual(["all", "billing"]);
  expect(await offered("invoices")).toEqual(["all", "billing"]);
});
