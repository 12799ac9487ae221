import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Storage() {
  return <Page title={texts.pages.storage}>{null}</Page>;
}
