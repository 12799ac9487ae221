import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Settings() {
  return <Page title={texts.pages.settings}>{null}</Page>;
}
