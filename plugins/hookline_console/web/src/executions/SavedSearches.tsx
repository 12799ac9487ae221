import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { ActionDialog, Dialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { Menu } from "../ui/Menu";
import { showToast } from "../ui/toasts";
import { removeSearch, savedSearches, saveSearch } from "./saved_searches";

/** The saved searches of this browser, and a way to save the one in the URL. */
export function SavedSearches() {
  const words = texts.executions.saved;
  const { url, path, route } = useLocation();
  const [saved, setSaved] = useState(() => savedSearches(localStorage));
  const [dialog, setDialog] = useState<"save" | "edit" | null>(null);
  const [name, setName] = useState("");
  const query = url.split("?")[1] ?? "";
  const save = () => {
    saveSearch(localStorage, { name: name.trim(), query });
    setSaved(savedSearches(localStorage));
    showToast(words.saved);
  };
  const remove = (removed: string) => {
    removeSearch(localStorage, removed);
    setSaved(savedSearches(localStorage));
  };
  return (
    <>
      <Menu
        label={words.title}
        items={[
          ...saved.map((one) => ({ label: one.name, onSelect: () => route(`${path}?${one.query}`) })),
          ...(query === "" ? [] : [{ label: words.save, onSelect: () => setDialog("save") }]),
          ...(saved.length === 0 ? [] : [{ label: words.edit, onSelect: () => setDialog("edit") }]),
          ...(query === "" && saved.length === 0 ? [{ label: words.none, onSelect: () => undefined }] : []),
        ]}
      >
        {words.title}
      </Menu>
      {dialog === "save" && (
        <ActionDialog
          title={words.saveTitle}
          onClose={() => setDialog(null)}
          action={words.saveAction}
          onAction={save}
          disabled={name.trim() === ""}
        >
          <Field label={words.name} hint={words.where}>
            <input maxLength={60} value={name} onInput={(event) => setName(event.currentTarget.value)} />
          </Field>
        </ActionDialog>
      )}
      {dialog === "edit" && (
        <Dialog title={words.title} onClose={() => setDialog(null)}>
          <p>{words.where}</p>
          <ul class="saved-list">
            {saved.map((one) => (
              <li key={one.name} class="cluster">
                <span class="foreign">{one.name}</span>
                <Button small kind="danger" onClick={() => remove(one.name)} label={words.remove(one.name)}>
                  {words.removeShort}
                </Button>
              </li>
            ))}
          </ul>
        </Dialog>
      )}
    </>
  );
}
