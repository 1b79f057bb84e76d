// Where to cut an image of memory pages: at addresses, not at offsets, so that a page that comes or goes changes one chunk and not all that follow.
// Reads criu's pagemap images: a magic number, then messages with their length before them (criu, images/pagemap.proto).
import { readFile } from "node:fs/promises";

/** Pages of a chunk lie within one aligned stretch of this many bytes of the process's memory. */
export const stretchBytes = 256 << 10;
const pageBytes = 4096;
/** images/pagemap.proto: the pages are in the image (older images, without flags, have all of them). */
const present = 1 << 2;

interface Fields {
  readonly [field: number]: bigint;
}

function varint(bytes: Buffer, at: number): [bigint, number] {
  let value = 0n;
  for (let shift = 0n; ; shift += 7n) {
    const byte = bytes[at++];
    if (byte === undefined) throw new Error("a message ends early");
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return [value, at];
  }
}

/** The numbers of a protobuf message; length-delimited fields are passed over. */
function numbersOf(message: Buffer): Fields {
  const fields: Record<number, bigint> = {};
  for (let at = 0; at < message.length; ) {
    let tag: bigint;
    [tag, at] = varint(message, at);
    const field = Number(tag >> 3n);
    const wire = Number(tag & 7n);
    if (wire === 0) [fields[field], at] = varint(message, at);
    else if (wire === 2) {
      let length: bigint;
      [length, at] = varint(message, at);
      at += Number(length);
    } else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else throw new Error(`a field of kind ${wire}`);
  }
  return fields;
}

/** Messages of a criu image: after one or two magic numbers, each with its length as 32 bits. */
function messagesOf(image: Buffer): Buffer[] {
  const common = 0x54564319; // images/image.h: IMG_COMMON_MAGIC comes first in images since criu 1.6
  let at = image.readUInt32LE(0) === common ? 8 : 4;
  const found: Buffer[] = [];
  while (at + 4 <= image.length) {
    const length = image.readUInt32LE(at);
    found.push(image.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}

/** Lengths of the chunks of `pages-N.img`, N and lengths from one pagemap image. Throws when it is not understood: then any other cut will do. */
export async function pageCuts(pagemapPath: string): Promise<{ readonly pagesId: number; readonly lengths: number[] }> {
  const [first, ...entries] = messagesOf(await readFile(pagemapPath));
  if (first === undefined) throw new Error("an empty pagemap");
  const lengths: number[] = [];
  let stretch: bigint | undefined;
  for (const message of entries) {
    const { 1: address = 0n, 2: count = 0n, 3: inParent = 0n, 4: flags, 5: wideCount } = numbersOf(message);
    const isHere = flags === undefined ? inParent === 0n : (Number(flags) & present) !== 0;
    if (!isHere) continue;
    const pages = Number(wideCount ?? count);
    for (let i = 0; i < pages; i++) {
      const at = (address + BigInt(i * pageBytes)) / BigInt(stretchBytes);
      if (at === stretch) lengths[lengths.length - 1] = (lengths.at(-1) ?? 0) + pageBytes;
      else lengths.push(pageBytes);
      stretch = at;
    }
  }
  return { pagesId: Number(numbersOf(first)[1] ?? 0n), lengths };
}
