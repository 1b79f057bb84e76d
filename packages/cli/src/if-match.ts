// Changing a thing only as long as it is what was read: by the ETag that its reading carries.
import { Option } from "commander";

/** Of commands that change one thing. */
export const ifMatchOption = (): Option =>
  new Option("--if-match <etag>", "only if it still is what `show` said with this ETag; exit 1 if somebody has changed it since");

/** An answer with the ETag that came with it; empty where none did. */
export async function readTagged<Answer>(
  ask: (call: { readonly onHeader: (headers: Headers) => void }) => Promise<Answer>,
): Promise<{ readonly answer: Answer; readonly tag: string }> {
  let tag = "";
  const answer = await ask({ onHeader: (headers) => (tag = headers.get("etag") ?? "") });
  return { answer, tag };
}

/** What a call sends along so that it is refused where the tag does not fit any more. */
export const ifMatch = (tag: string | undefined): { readonly headers?: { readonly "if-match": string } } =>
  tag === undefined || tag === "" ? {} : { headers: { "if-match": tag } };
