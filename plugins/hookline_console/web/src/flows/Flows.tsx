import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Flows() {
  return <Page title={texts.pages.flows}>{null}</Page>;
}
