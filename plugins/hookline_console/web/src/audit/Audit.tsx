import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Audit() {
  return <Page title={texts.pages.audit}>{null}</Page>;
}
