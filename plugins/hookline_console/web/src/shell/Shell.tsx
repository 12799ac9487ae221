import "./shell.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { Route, Router, useLocation } from "preact-iso";
import { type Connection, events } from "../api/events";
import { texts } from "../texts";
import { Boundary } from "../ui/Boundary";
import { Button } from "../ui/Button";
import { Empty } from "../ui/Notices";
import { CommandPalette } from "./CommandPalette";
import { Logo } from "./Logo";
import { NAVIGATION, ROUTES } from "./pages";
import { useSession } from "./SessionContext";
import { applyTheme, storedTheme, type Theme } from "./theme";

/** The frame around every page: the navigation at the left, or above on narrow screens. */
export function Shell() {
  const [searching, setSearching] = useState(false);
  const [open, setOpen] = useState(false);
  const content = useRef<HTMLElement>(null);
  const { path } = useLocation();
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "k" || !(event.metaKey || event.ctrlKey)) return;
      event.preventDefault();
      setSearching(true);
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
  const arrive = () => {
    setOpen(false);
    content.current?.scrollTo(0, 0);
    // The focus stays on no link of the page before, so that screen readers read out what page this is.
    (content.current?.querySelector("h1") ?? content.current)?.focus({ preventScroll: true });
  };
  return (
    <div class="shell">
      <button type="button" class="button skip" onClick={() => content.current?.focus()}>
        {texts.shell.skip}
      </button>
      <header class="shell-side">
        <div class="shell-brand">
          <a href="/" class="shell-home">
            <Logo />
            {texts.product}
          </a>
          <button
            type="button"
            class="button button-quiet shell-toggle"
            aria-expanded={open}
            aria-controls="navigation"
            onClick={() => setOpen(!open)}
          >
            {texts.shell.menu}
          </button>
        </div>
        <div id="navigation" class={`shell-panel${open ? " shell-open" : ""}`}>
          <button type="button" class="shell-search" onClick={() => setSearching(true)}>
            <span>{texts.shell.commandPalette}</span>
            <kbd>{navigator.platform.startsWith("Mac") ? "⌘K" : "Ctrl K"}</kbd>
          </button>
          <Navigation />
          <Account />
        </div>
      </header>
      <main id="content" class="shell-content" tabIndex={-1} ref={content} data-scroller>
        <Boundary of={path}>
          <Router onRouteChange={arrive}>
            {ROUTES.map(({ path, component }) => (
              <Route key={path} path={path} component={component} />
            ))}
            <Route default component={NotFound} />
          </Router>
        </Boundary>
      </main>
      {searching && <CommandPalette onClose={() => setSearching(false)} />}
    </div>
  );
}

function Navigation() {
  const { path } = useLocation();
  return (
    <nav class="navigation" aria-label={texts.shell.navigation}>
      {NAVIGATION.map((group) => (
        <div key={group.title} class="navigation-group">
          <p class="navigation-title">{group.title}</p>
          <ul>
            {group.pages.map(({ title, href }) => (
              <li key={href}>
                <a href={href} class="navigation-link" aria-current={isAt(path, href) ? "page" : undefined}>
                  {title}
                </a>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </nav>
  );
}

function isAt(path: string, href: string): boolean {
  return path === href || (href !== "/" && path.startsWith(`${href}/`));
}

function Account() {
  const { me, signOut } = useSession();
  const [theme, setTheme] = useState(storedTheme());
  const connection = useConnection();
  return (
    <div class="account">
      <p class={`connection connection-${connection}`} role="status">
        {texts.shell.connection[connection]}
      </p>
      <label class="account-theme">
        <span>{texts.shell.theme.label}</span>
        <select
          value={theme}
          onChange={(event) => {
            const chosen = event.currentTarget.value as Theme;
            setTheme(chosen);
            applyTheme(chosen);
          }}
        >
          <option value="system">{texts.shell.theme.system}</option>
          <option value="light">{texts.shell.theme.light}</option>
          <option value="dark">{texts.shell.theme.dark}</option>
        </select>
      </label>
      <div class="account-name">
        <span class="truncate" title={`${texts.shell.signedInAs(me.name)} (${me.scopes.join(", ")})`}>
          {me.name}
        </span>
        <Button kind="quiet" small onClick={signOut}>
          {texts.shell.signOut}
        </Button>
      </div>
    </div>
  );
}

function useConnection(): Connection {
  const [connection, setConnection] = useState(events.connection);
  useEffect(() => events.watchConnection(setConnection), []);
  return connection;
}

function NotFound() {
  return (
    <Empty title={texts.problems.notFound.title}>
      <p>{texts.problems.notFound.detail}</p>
    </Empty>
  );
}
