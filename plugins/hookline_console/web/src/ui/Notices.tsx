/** What a page shows if it has nothing to show: it is empty, it loads, or something failed. */

import "./notices.css";
import type { ComponentChildren } from "preact";
import type { Resource } from "../api/resource";
import { texts } from "../texts";
import { Button } from "./Button";
import { describeProblem } from "./problems";

/** That there is nothing, and what to do to change that. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="notice">
      <p class="notice-title">{title}</p>
      {children && <div class="notice-detail">{children}</div>}
    </div>
  );
}

/** Lines that stand for what is being loaded, so that nothing jumps when it comes. */
export function Loading({ lines = 6 }: { lines?: number }) {
  return (
    <div class="loading" role="status" aria-label={texts.common.loading}>
      {Array.from({ length: lines }, (_, index) => (
        <div key={index} class="loading-line" />
      ))}
    </div>
  );
}

/** What failed, and a button to try again. */
export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const { title, detail } = describeProblem(error);
  return (
    <div class="notice notice-bad" role="alert">
      <p class="notice-title">{title}</p>
      {detail !== title && <p class="notice-detail foreign">{detail}</p>}
      {retry && <Button onClick={retry}>{texts.common.tryAgain}</Button>}
    </div>
  );
}

interface LoadedProps<T> {
  resource: Resource<T>;
  lines?: number;
  children: (value: T) => ComponentChildren;
}

/** The value of a resource, or that it loads, or why it can't be loaded. */
export function Loaded<T>({ resource, lines, children }: LoadedProps<T>) {
  const failed = resource.error !== undefined && <Failed error={resource.error} retry={resource.reload} />;
  if (resource.value === undefined) return failed || <Loading lines={lines ?? 6} />;
  return (
    <>
      {failed}
      {children(resource.value)}
    </>
  );
}
