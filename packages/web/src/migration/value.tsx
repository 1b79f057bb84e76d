import { shortened } from "./fact-text.ts";

/** What one side of a comparison says; pointing at it, and the download, say all of it. */
export function Evidenced({ text }: { text: string }) {
  const short = shortened(text);
  return <span title={short === text ? undefined : text}>{short}</span>;
}
