import "./styles/tokens.css";
import "./styles/base.css";
import { render } from "preact";
import { App } from "./shell/App";
import { applyTheme, storedTheme } from "./shell/theme";

applyTheme(storedTheme());
const root = document.getElementById("app");
if (root) render(<App />, root);
