import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Overview() {
  return <Page title={texts.pages.overview}>{null}</Page>;
}
