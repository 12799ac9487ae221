/** All English texts of the console, by subject. */

const plural = (count: number, one: string, many: string) =>
  `${count.toLocaleString()} ${count === 1 ? one : many}`;

export const en = {
  product: "Hookline",

  common: {
    cancel: "Cancel",
    clearFilters: "Clear filters",
    close: "Close",
    copied: "Copied",
    copy: "Copy",
    loading: "Loading",
    loadingMore: "Loading more…",
    needsScope: (scope: string) => `Your token doesn't have the scope ${scope}.`,
    tryAgain: "Try again",
  },

  states: {
    queued: "Queued",
    running: "Running",
    started: "Started",
    waiting: "Waiting",
    succeeded: "Succeeded",
    failed: "Failed",
    cancelled: "Cancelled",
    skipped: "Skipped",
    active: "Active",
    paused: "Paused",
    stopped: "Stopped",
    broken: "Broken",
  },

  problems: {
    defect: { title: "Something went wrong" },
    forbidden: {
      title: "Your token doesn't allow this",
      detail: "Sign in with a token that has the scope, or ask an administrator for one.",
    },
    notFound: { title: "Nothing is here", detail: "It may have been removed, or the link may be wrong." },
    unreachable: {
      title: "The server can't be reached",
      detail: "Check that it runs, and your connection to it. The page goes on by itself once it answers.",
    },
  },

  shell: {
    commandPalette: "Search or go to…",
    commands: "Commands",
    connection: { connecting: "Connecting…", open: "Live", lost: "Connection lost, trying again…" },
    execution: "Execution",
    flow: "Flow",
    goTo: (page: string) => `Go to ${page}`,
    goToFlow: (flow: string) => `Go to the flow ${flow}`,
    menu: "Menu",
    navigation: "Main",
    noCommands: "Nothing matches. Type the name of a page or a flow, or a part of an execution's id.",
    results: "Results",
    signedInAs: (name: string) => `Signed in as ${name}`,
    signOut: "Sign out",
    skip: "Skip to the content",
    theme: { label: "Theme", system: "System", light: "Light", dark: "Dark" },
    unavailable: "This page could not be loaded. The server may have been updated: reload the page.",
    reload: "Reload",
  },

  pages: {
    overview: "Overview",
    flows: "Flows",
    executions: "Executions",
    deadLetters: "Dead letters",
    credentials: "Credentials",
    components: "Components",
    plugins: "Plugins",
    deployments: "Deployments",
    audit: "Audit",
    tokens: "Tokens",
    nodes: "Nodes",
    storage: "Storage",
    settings: "Settings",
    groups: { operate: "Operate", build: "Build", administer: "Administer" },
  },

  signIn: {
    title: "Sign in to Hookline",
    token: "Access token",
    hint: "The server's own token is in the file admin.token beside its database.",
    submit: "Sign in",
    link: "Or run hookline open in a terminal, which prints a link that signs you in.",
    badToken: "This token isn't valid. It may have been revoked, or have expired.",
    badCode: "This link has been used, or is older than ten minutes. Get a new one with hookline open.",
    tooMany: "There were too many invalid attempts from your address. Wait a minute, then try again.",
  },

  overview: {},

  flows: {},

  executions: {},

  deadLetters: {},

  credentials: {},

  components: {},

  plugins: {},

  deployments: {},

  audit: {},

  tokens: {},

  nodes: {},

  storage: {},

  settings: {},

  plural,
};
