import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Components() {
  return <Page title={texts.pages.components}>{null}</Page>;
}
