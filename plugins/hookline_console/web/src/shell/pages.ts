/** The pages of the console: their paths, their places in the navigation, and the code that is loaded for each. */

import type { FunctionComponent } from "preact";
import { lazy } from "preact-iso";
import { texts } from "../texts";
import { Unavailable } from "./Unavailable";

const names = texts.pages;

/** The pages of the navigation, in groups. */
export const NAVIGATION = [
  {
    title: names.groups.operate,
    pages: [
      { title: names.overview, href: "/" },
      { title: names.flows, href: "/flows" },
      { title: names.executions, href: "/executions" },
      { title: names.deadLetters, href: "/dead-letters" },
      { title: names.rejected, href: "/rejected" },
    ],
  },
  {
    title: names.groups.build,
    pages: [
      { title: names.inspector, href: "/inspector" },
      { title: names.credentials, href: "/credentials" },
      { title: names.components, href: "/components" },
      { title: names.deployments, href: "/deployments" },
    ],
  },
  {
    title: names.groups.administer,
    pages: [
      { title: names.audit, href: "/audit" },
      { title: names.tokens, href: "/tokens" },
      { title: names.nodes, href: "/nodes" },
      { title: names.storage, href: "/storage" },
      { title: names.plugins, href: "/plugins" },
      { title: names.settings, href: "/settings" },
    ],
  },
] as const;

/** A component whose code is loaded when it is first shown. A server that was updated no longer has the older code. */
function page<Name extends string>(
  load: () => Promise<Readonly<Record<Name, FunctionComponent>>>,
  name: Name,
): FunctionComponent {
  return lazy(() =>
    load().then(
      (module) => module[name],
      () => Unavailable,
    ),
  );
}

/** The page of each path. The server knows the first part of each (`hookline_console/__init__.py`). */
export const ROUTES = [
  { path: "/", component: page(() => import("../overview/Overview"), "Overview") },
  { path: "/flows", component: page(() => import("../flows/Flows"), "Flows") },
  // Before the page of a flow, which could have this name.
  { path: "/flows/new", component: page(() => import("../begin/NewFlow"), "NewFlow") },
  { path: "/flows/:id/edit", component: page(() => import("../editor/EditFlow"), "EditFlow") },
  { path: "/flows/:id", component: page(() => import("../flows/Flow"), "Flow") },
  { path: "/executions", component: page(() => import("../executions/Executions"), "Executions") },
  { path: "/executions/:id", component: page(() => import("../executions/Execution"), "Execution") },
  { path: "/dead-letters", component: page(() => import("../dead_letters/DeadLetters"), "DeadLetters") },
  { path: "/dead-letters/:cause", component: page(() => import("../dead_letters/DeadLetters"), "Cause") },
  { path: "/inspector", component: page(() => import("../inspector/Inspector"), "Inspector") },
  { path: "/inspector/:flowId", component: page(() => import("../inspector/CapturePage"), "CapturePage") },
  { path: "/rejected", component: page(() => import("../rejected/Rejected"), "Rejected") },
  { path: "/credentials", component: page(() => import("../credentials/Credentials"), "Credentials") },
  { path: "/components", component: page(() => import("../components/Components"), "Components") },
  { path: "/credentials/:name", component: page(() => import("../credentials/Credential"), "Credential") },
  { path: "/components/:kind/:name", component: page(() => import("../components/Component"), "Component") },
  { path: "/deployments/:id", component: page(() => import("../deployments/Deployment"), "Deployment") },
  { path: "/plugins", component: page(() => import("../plugins/Plugins"), "Plugins") },
  { path: "/deployments", component: page(() => import("../deployments/Deployments"), "Deployments") },
  { path: "/audit", component: page(() => import("../audit/Audit"), "Audit") },
  { path: "/tokens", component: page(() => import("../tokens/Tokens"), "Tokens") },
  { path: "/nodes", component: page(() => import("../nodes/Nodes"), "Nodes") },
  { path: "/storage", component: page(() => import("../storage/Storage"), "Storage") },
  { path: "/settings", component: page(() => import("../settings/Settings"), "Settings") },
];
