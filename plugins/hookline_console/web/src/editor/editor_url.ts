/** The page of a flow's editor. `place`: the panel (`tab`), the message (`execution`, `request`, `case`), and the `step`. */
export function editorUrl(flowId: string, place: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams(place).toString();
  return `/flows/${encodeURIComponent(flowId)}/edit${query && `?${query}`}`;
}
