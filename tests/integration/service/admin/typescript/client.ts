// A program that uses the generated types: it is compiled strictly, and run against a server.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.d.ts";

declare const process: { argv: string[] };

const client = createClient<paths>({
  baseUrl: process.argv[2]!,
  headers: { Authorization: `Bearer ${process.argv[3]}` },
});

const me = await client.GET("/api/v1/me");
if (me.data === undefined) throw new Error(me.error.detail);
const scopes: components["schemas"]["TokenScope"][] = me.data.scopes;

const failed = await client.GET("/api/v1/executions", { params: { query: { state: "failed", limit: 1 } } });
const code: string | undefined = failed.data?.items[0]?.error?.code;

// @ts-expect-error no execution is in this state
await client.GET("/api/v1/executions", { params: { query: { state: "broken" } } });

// What has a default may be left out.
const checked = await client.POST("/api/v1/check", { body: { document: {} } });
const problem: string | undefined = checked.data?.problems[0]?.message;

const missing = await client.GET("/api/v1/flows/{flow_id}", { params: { path: { flow_id: "nothing" } } });
const status: number | undefined = missing.error?.status;

console.log(JSON.stringify({ scopes, code, problem, status }));
