import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Plugins() {
  return <Page title={texts.pages.plugins}>{null}</Page>;
}
