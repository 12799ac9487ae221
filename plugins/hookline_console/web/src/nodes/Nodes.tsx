import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Nodes() {
  return <Page title={texts.pages.nodes}>{null}</Page>;
}
