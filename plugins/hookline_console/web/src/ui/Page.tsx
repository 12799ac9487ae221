import "./page.css";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { texts } from "../texts";

interface PageProps {
  title: string;
  /** The page above it, if it is one of several of a kind. */
  parent?: { title: string; href: string };
  /** Beside the title, such as a state. */
  beside?: ComponentChildren;
  /** A sentence below the title. */
  lead?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
}

/** A page: its title, its actions, and its content. */
export function Page({ title, parent, beside, lead, actions, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · ${texts.product}`;
  }, [title]);
  return (
    <div class="page">
      <header class="page-head">
        <div class="page-titles">
          {parent && (
            <a class="page-parent" href={parent.href}>
              {parent.title}
            </a>
          )}
          <div class="cluster">
            <h1 class="foreign" tabIndex={-1}>
              {title}
            </h1>
            {beside}
          </div>
          {lead && <p class="page-lead">{lead}</p>}
        </div>
        {actions && <div class="page-actions">{actions}</div>}
      </header>
      <div class="stack">{children}</div>
    </div>
  );
}

interface SectionProps {
  title: string;
  beside?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
}

/** A part of a page, on a ground of its own. */
export function Section({ title, beside, actions, children }: SectionProps) {
  return (
    <section class="card section" aria-label={title}>
      <header class="section-head">
        <h2>{title}</h2>
        {beside}
        {actions && <div class="section-actions">{actions}</div>}
      </header>
      {children}
    </section>
  );
}

/** Names and their values, below one another. */
export function Facts({ facts }: { facts: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name} class="fact">
          <dt>{name}</dt>
          <dd class="foreign">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
