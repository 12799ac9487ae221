import { useRoute } from "preact-iso";
import { useResource } from "../api/resource";
import { useAllows } from "../shell/SessionContext";
import { Loaded } from "../ui/Notices";
import { open } from "./opening";
import { Workbench } from "./Workbench";

/** The page on which a flow is written: its JSON, its picture, and what is wrong with it. */
export function EditFlow() {
  const { params } = useRoute();
  const id = params.id ?? "";
  const mayWrite = useAllows("author");
  const opened = useResource((signal) => open(id, mayWrite, signal), [id]);
  return <Loaded resource={opened}>{(value) => <Workbench key={id} opened={value} />}</Loaded>;
}
