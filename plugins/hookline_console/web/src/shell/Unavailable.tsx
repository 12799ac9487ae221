import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Empty } from "../ui/Notices";

/** In place of a page whose code can't be loaded. */
export function Unavailable() {
  const words = texts.shell.unavailable;
  return (
    <Empty title={words.title}>
      <p>{words.detail}</p>
      <Button onClick={() => location.reload()}>{words.reload}</Button>
    </Empty>
  );
}
