import { useEffect } from "preact/hooks";

/** Call a function every so many milliseconds while the page is visible. For what no event tells. */
export function useRefresh(refresh: () => void, everyMs: number): void {
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === "visible" && refresh(), everyMs);
    return () => clearInterval(timer);
  }, [refresh, everyMs]);
}
