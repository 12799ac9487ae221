import { texts } from "../texts";
import { Page } from "../ui/Page";

export function Deployments() {
  return <Page title={texts.pages.deployments}>{null}</Page>;
}
