import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Flow() {
  return <Page title={texts.pages.flows}>{null}</Page>;
}
