import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Executions() {
  return <Page title={texts.pages.executions}>{null}</Page>;
}
