// Where to cut an image of memory pages: at addresses, not at offsets, so that a page that comes or goes changes one chunk and not all that follow.
// Reads criu's pagemap images (images/pagemap.proto).
import { readFile } from "node:fs/promises";
import { fieldsOf, messagesOf, numberOf } from "../checkpoint/image-file.ts";

/** Pages of a chunk lie within one aligned stretch of this many bytes of the process's memory. */
export const stretchBytes = 256 << 10;
const pageBytes = 4096;
/** images/pagemap.proto: the pages are in the image (older images, without flags, have all of them). */
const present = 1 << 2;

/** Lengths of the chunks of `pages-N.img`, N and lengths from one pagemap image. Throws when it is not understood: then any other cut will do. */
export async function pageCuts(pagemapPath: string): Promise<{ readonly pagesId: number; readonly lengths: number[] }> {
  const [first, ...entries] = messagesOf(await readFile(pagemapPath));
  if (first === undefined) throw new Error("an empty pagemap");
  const lengths: number[] = [];
  let stretch: number | undefined;
  for (const message of entries) {
    const fields = fieldsOf(message);
    const flags = numberOf(fields, 4);
    const isHere = flags === undefined ? (numberOf(fields, 3) ?? 0) === 0 : (flags & present) !== 0;
    if (!isHere) continue;
    const address = numberOf(fields, 1) ?? 0; // of a process: below 2^47, or 2^52 on some
    const pages = numberOf(fields, 5) ?? numberOf(fields, 2) ?? 0;
    for (let i = 0; i < pages; i++) {
      const at = Math.floor((address + i * pageBytes) / stretchBytes);
      if (at === stretch) lengths[lengths.length - 1] = (lengths.at(-1) ?? 0) + pageBytes;
      else lengths.push(pageBytes);
      stretch = at;
    }
  }
  return { pagesId: numberOf(fieldsOf(first), 1) ?? 0, lengths };
}
