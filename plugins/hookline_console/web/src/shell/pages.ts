/** The pages of the console: their paths, their places in the navigation, and the code that is loaded for each. */

import { lazy } from "preact-iso";
import { texts } from "../texts";

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
    ],
  },
  {
    title: names.groups.build,
    pages: [
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

/** The page of each path. The server knows the first part of each (`hookline_console/__init__.py`). */
export const ROUTES = [
  { path: "/", component: lazy(() => import("../overview/Overview").then((module) => module.Overview)) },
  { path: "/flows", component: lazy(() => import("../flows/Flows").then((module) => module.Flows)) },
  { path: "/flows/:id", component: lazy(() => import("../flows/Flow").then((module) => module.Flow)) },
  {
    path: "/executions",
    component: lazy(() => import("../executions/Executions").then((module) => module.Executions)),
  },
  {
    path: "/executions/:id",
    component: lazy(() => import("../executions/Execution").then((module) => module.Execution)),
  },
  {
    path: "/dead-letters",
    component: lazy(() => import("../dead_letters/DeadLetters").then((module) => module.DeadLetters)),
  },
  {
    path: "/credentials",
    component: lazy(() => import("../credentials/Credentials").then((module) => module.Credentials)),
  },
  {
    path: "/components",
    component: lazy(() => import("../components/Components").then((module) => module.Components)),
  },
  {
    path: "/credentials/:name",
    component: lazy(() => import("../credentials/Credential").then((module) => module.Credential)),
  },
  {
    path: "/components/:kind/:name",
    component: lazy(() => import("../components/Component").then((module) => module.Component)),
  },
  {
    path: "/deployments/:id",
    component: lazy(() => import("../deployments/Deployment").then((module) => module.Deployment)),
  },
  { path: "/plugins", component: lazy(() => import("../plugins/Plugins").then((module) => module.Plugins)) },
  {
    path: "/deployments",
    component: lazy(() => import("../deployments/Deployments").then((module) => module.Deployments)),
  },
  { path: "/audit", component: lazy(() => import("../audit/Audit").then((module) => module.Audit)) },
  { path: "/tokens", component: lazy(() => import("../tokens/Tokens").then((module) => module.Tokens)) },
  { path: "/nodes", component: lazy(() => import("../nodes/Nodes").then((module) => module.Nodes)) },
  { path: "/storage", component: lazy(() => import("../storage/Storage").then((module) => module.Storage)) },
  {
    path: "/settings",
    component: lazy(() => import("../settings/Settings").then((module) => module.Settings)),
  },
];
