import { texts } from "../texts";
import { Page } from "../ui/Page";

export function DeadLetters() {
  return <Page title={texts.pages.deadLetters}>{null}</Page>;
}
