import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Credentials() {
  return <Page title={texts.pages.credentials}>{null}</Page>;
}
