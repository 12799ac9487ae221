import "./code.css";
import { useEffect, useRef } from "preact/hooks";
import type { KeyOrders } from "../document/format";
import { Editing } from "./editing";
import type { FlowLanguage } from "./language";
import { ServerNames } from "./names";
import { type Commands, setup } from "./setup";

interface CodeEditorProps {
  flowId: string;
  /** The text at the beginning. */
  text: string;
  language: FlowLanguage;
  orders: KeyOrders;
  commands: Commands;
  readOnly: boolean;
  /** Called with the editing once it begins. */
  onBegin: (editing: Editing) => void;
}

/** The editor of a flow's JSON. It lives as long as the component; what changes its text is its editing. */
export function CodeEditor({ flowId, text, language, orders, commands, readOnly, onBegin }: CodeEditorProps) {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!element.current) return;
    const names = new ServerNames();
    const extensions = setup(flowId, language, names, commands, readOnly);
    const editing = new Editing(element.current, text, orders, names, extensions);
    onBegin(editing);
    return () => editing.close();
  }, []);
  return <div class="code" ref={element} />;
}
