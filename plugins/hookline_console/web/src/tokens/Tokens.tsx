import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Tokens() {
  return <Page title={texts.pages.tokens}>{null}</Page>;
}
