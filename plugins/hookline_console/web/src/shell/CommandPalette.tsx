import "./command_palette.css";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { api, body } from "../api/client";
import { useResource } from "../api/resource";
import { Text } from "../json/Text";
import { texts } from "../texts";
import { shortId } from "../ui/format";
import { showProblem } from "../ui/toasts";
import { useModal } from "../ui/useModal";
import { type Command, matchCommands, offeredCommands } from "./commands";
import { NAVIGATION } from "./pages";

const SHOWN = 12;
const SHORTEST_PART = 4;
const TYPING_MS = 150;

const PAGES: Command[] = NAVIGATION.flatMap((group) =>
  group.pages.map(({ title, href }) => ({ id: href, title: texts.shell.goTo(title), href })),
);

/** A dialog that finds pages, flows, executions and commands while one types. */
export function CommandPalette({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const { route } = useLocation();
  const dialog = useModal(onClose);
  const list = useRef<HTMLDivElement>(null);
  const listId = useId();
  const flows = useFlowCommands();
  const executions = useExecutionCommands(text.trim());
  const matching = matchCommands([...offeredCommands(), ...PAGES, ...flows], text, SHOWN);
  const found = [...matching, ...executions];

  useEffect(() => {
    list.current?.children[chosen]?.scrollIntoView({ block: "nearest" });
  }, [chosen]);

  const run = async (command: Command | undefined) => {
    if (!command) return;
    onClose();
    if (command.href) route(command.href);
    else {
      try {
        await command.run?.();
      } catch (error) {
        showProblem(error);
      }
    }
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === "Enter") {
      event.preventDefault();
      run(found[chosen]);
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined || found.length === 0) return;
    event.preventDefault();
    setChosen((chosen + step + found.length) % found.length);
  };
  return (
    <dialog {...dialog} class="palette" aria-label={texts.shell.commands}>
      <input
        class="palette-input"
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls={listId}
        aria-activedescendant={found.length > 0 ? `${listId}-${chosen}` : undefined}
        aria-label={texts.shell.commandPalette}
        placeholder={texts.shell.commandPalette}
        spellcheck={false}
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setChosen(0);
        }}
        onKeyDown={press}
      />
      <div ref={list} id={listId} class="palette-list" role="listbox" aria-label={texts.shell.results}>
        {found.map((command, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are those of the input
          // biome-ignore lint/a11y/useFocusableInteractive: the focus stays in the input
          <div
            key={command.id}
            id={`${listId}-${index}`}
            class="palette-item"
            role="option"
            aria-selected={index === chosen}
            onClick={() => run(command)}
            onMouseMove={() => setChosen(index)}
          >
            <span class="truncate foreign">
              <Text>{command.title}</Text>
            </span>
            {command.kind && <span class="palette-kind">{command.kind}</span>}
          </div>
        ))}
      </div>
      {found.length === 0 && <p class="palette-empty">{texts.shell.noCommands}</p>}
    </dialog>
  );
}

function useFlowCommands(): Command[] {
  const flows = useResource((signal) => body(api.GET("/api/v1/flows", { signal })), []);
  return (flows.value?.items ?? []).map((flow) => ({
    id: `flow ${flow.id}`,
    title: flow.title && flow.title !== flow.id ? `${flow.id} – ${flow.title}` : flow.id,
    kind: texts.shell.flow,
    href: `/flows/${encodeURIComponent(flow.id)}`,
  }));
}

/** The executions whose ids begin or end with a text, looked for when nothing has been typed for a moment. */
function useExecutionCommands(text: string): Command[] {
  const part = /^[0-9a-f-]+$/i.test(text) && text.length >= SHORTEST_PART ? text.toLowerCase() : "";
  const settled = useSettled(part, TYPING_MS);
  const matches = useResource(
    async (signal) =>
      settled === ""
        ? []
        : (
            await body(
              api.GET("/api/v1/executions/matching/{part}", { params: { path: { part: settled } }, signal }),
            )
          ).items,
    [settled],
  );
  return (part === "" ? [] : (matches.value ?? [])).map((match) => ({
    id: match.id,
    title: `${shortId(match.id)} – ${match.flow_id}`,
    kind: texts.shell.execution,
    href: `/executions/${match.id}`,
  }));
}

/** A value that follows another one once that has stayed the same for a while. */
function useSettled(value: string, milliseconds: number): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return settled;
}
