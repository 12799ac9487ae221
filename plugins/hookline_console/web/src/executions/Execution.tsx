import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Execution() {
  return <Page title={texts.pages.executions}>{null}</Page>;
}
