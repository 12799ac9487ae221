/**
 * Save whenever the page may be about to go, and let the browser ask before it goes while something is saved nowhere.
 * Returns the function that ends this.
 */
export function watchLeaving(save: () => void, isUnsaved: () => boolean): () => void {
  const hide = () => {
    // Phones end a hidden page without telling it.
    if (document.hidden) save();
  };
  const ask = (event: BeforeUnloadEvent) => {
    if (!isUnsaved()) return;
    event.preventDefault();
    // Chrome before 119 asks only because of this.
    event.returnValue = true;
  };
  window.addEventListener("pagehide", save);
  window.addEventListener("beforeunload", ask);
  document.addEventListener("visibilitychange", hide);
  return () => {
    window.removeEventListener("pagehide", save);
    window.removeEventListener("beforeunload", ask);
    document.removeEventListener("visibilitychange", hide);
  };
}
