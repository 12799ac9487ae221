/** The theme: light, dark, or that of the system. It is kept in this browser. */

export type Theme = "system" | "light" | "dark";

const KEY = "hookline-theme";
const dark = () => window.matchMedia("(prefers-color-scheme: dark)");

export function storedTheme(): Theme {
  const stored = localStorage.getItem(KEY);
  return stored === "light" || stored === "dark" ? stored : "system";
}

/** Show a theme, and follow the system's if it is "system". */
export function applyTheme(theme: Theme): void {
  const show = () => {
    const resolved = storedTheme() === "system" ? (dark().matches ? "dark" : "light") : storedTheme();
    document.documentElement.dataset.theme = resolved;
    window.dispatchEvent(new Event("themechange"));
  };
  if (theme === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme);
  dark().onchange = show;
  show();
}
