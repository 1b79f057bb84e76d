// How an image of memory pages becomes chunks: pure, but for reading criu's pagemap image (images/pagemap.proto).
//
// Pages are cut at addresses, not at offsets, so that a page that comes or goes changes one chunk and not all that follow. Of pages that were not written
// since the snapshot before, only their place in its chunks is known: they are named there again. What was written lies together in chunks of its own.
// A stretch of memory that has come to lie in too many of them is put together anew, so that a restore does not read a chunk for every page.
import { readFile } from "node:fs/promises";
import { fieldsOf, messagesOf, numberOf } from "../checkpoint/image-file.ts";
import type { ChunkRef } from "./manifest.ts";

export const pageBytes = 4096;
/** Pages of a chunk lie within one aligned stretch of this many bytes of the process's memory. */
export const stretchBytes = 256 << 10;
const stretchPages = stretchBytes / pageBytes;
/** A stretch lies in so many chunks at most, which a restore reads, and so many pieces, which the manifest names and the next snapshot remembers. */
const mostChunks = 8;
const mostPieces = 48;
/** images/pagemap.proto: the pages are in the image (older images, without flags, have all of them). */
const present = 1 << 2;

/** Pages that follow each other in memory and in the image. */
export interface PageRun {
  readonly address: number;
  readonly pages: number;
}

/** Where pages of a process are stored. */
export interface StoredRun extends PageRun {
  readonly chunk: ChunkRef;
  /** In the chunk, counted in pages. */
  readonly from: number;
}

export interface Pagemap {
  /** N of `pages-N.img`. */
  readonly pagesId: number;
  readonly runs: readonly PageRun[];
}

/** Throws when it is not understood: then any other cut will do. */
export async function readPagemap(path: string): Promise<Pagemap> {
  const [first, ...entries] = messagesOf(await readFile(path));
  if (first === undefined) throw new Error("an empty pagemap");
  const runs: PageRun[] = [];
  for (const message of entries) {
    const fields = fieldsOf(message);
    const flags = numberOf(fields, 4);
    const isHere = flags === undefined ? (numberOf(fields, 3) ?? 0) === 0 : (flags & present) !== 0;
    // Addresses of a process lie below 2^47, or 2^52 on some.
    if (isHere) runs.push({ address: numberOf(fields, 1) ?? 0, pages: numberOf(fields, 5) ?? numberOf(fields, 2) ?? 0 });
  }
  return { pagesId: numberOf(fieldsOf(first), 1) ?? 0, runs };
}

/** What a chunk is made of: pages of the image, or of a chunk that is there. */
export type Piece =
  | { readonly at: number; readonly pages: number }
  | { readonly chunk: ChunkRef; readonly from: number; readonly pages: number };

/** A run of the image in the order of the image: in the n-th new chunk, or in one that is there. */
export interface PlannedRun extends PageRun {
  readonly chunk: number | ChunkRef;
  readonly from: number;
}

export interface PagePlan {
  readonly chunks: readonly (readonly Piece[])[];
  readonly runs: readonly PlannedRun[];
}

/** A run within one stretch. `at`: its first page in the image; undefined where it is stored. */
interface Segment extends PageRun {
  readonly at?: number;
  readonly stored?: { readonly chunk: ChunkRef; readonly from: number };
}

/**
 * @param holes of the image: [first page, pages], ascending: not written since `before`
 * @param before all pages of this process in the last snapshot, ascending by address. Throws where a hole is not among them.
 */
export function planPages(runs: readonly PageRun[], holes: readonly (readonly [number, number])[], before: readonly StoredRun[]): PagePlan {
  const chunks: Piece[][] = [];
  const planned: PlannedRun[] = [];
  let loose: { readonly index: number; pages: number } | undefined;

  const add = (run: PlannedRun) => {
    const last = planned.at(-1);
    const follows =
      last !== undefined &&
      last.chunk === run.chunk &&
      last.from + last.pages === run.from &&
      last.address + last.pages * pageBytes === run.address;
    if (follows) planned[planned.length - 1] = { ...last, pages: last.pages + run.pages };
    else planned.push(run);
  };
  const together = (segments: readonly Segment[]) => {
    const index = chunks.length;
    let from = 0;
    chunks.push(segments.map(({ at, stored, pages }) => (stored === undefined ? { at: at ?? 0, pages } : { ...stored, pages })));
    for (const { address, pages } of segments) {
      add({ address, pages, chunk: index, from });
      from += pages;
    }
  };
  /** Beside other pages that were written, of whatever stretch. */
  const amongLoose = ({ address, pages, at = 0 }: Segment) => {
    if (loose === undefined || loose.pages + pages > stretchPages) {
      loose = { index: chunks.length, pages: 0 };
      chunks.push([]);
    }
    chunks[loose.index]?.push({ at, pages });
    add({ address, pages, chunk: loose.index, from: loose.pages });
    loose.pages += pages;
  };

  for (const stretch of stretchesOf(segmentsOf(runs, holes, before))) {
    const chunksOf = new Set(stretch.flatMap(({ stored }) => (stored === undefined ? [] : [stored.chunk])));
    const isMixed = chunksOf.size > 0 && stretch.some(({ stored }) => stored === undefined);
    if (chunksOf.size === 0 || (isMixed && (chunksOf.size >= mostChunks || stretch.length > mostPieces))) together(stretch);
    else
      for (const segment of stretch) {
        const { address, pages, stored } = segment;
        if (stored === undefined) amongLoose(segment);
        else add({ address, pages, ...stored });
      }
  }
  return { chunks, runs: planned };
}

/** Runs cut where a hole begins or ends, where a stretch ends, and where a stored run does. */
function* segmentsOf(
  runs: readonly PageRun[],
  holes: readonly (readonly [number, number])[],
  before: readonly StoredRun[],
): Generator<Segment> {
  let at = 0;
  let hole = 0;
  let known = 0;
  for (const run of runs) {
    for (let address = run.address, left = run.pages; left > 0; ) {
      while ((holes[hole]?.[0] ?? Number.POSITIVE_INFINITY) + (holes[hole]?.[1] ?? 0) <= at) hole++;
      const [first, count] = holes[hole] ?? [Number.POSITIVE_INFINITY, 0];
      const isHole = at >= first;
      const untilStretch = (Math.floor(address / stretchBytes + 1) * stretchBytes - address) / pageBytes;
      let pages = Math.min(left, untilStretch, isHole ? first + count - at : first - at);
      if (!isHole) yield { address, pages, at };
      else {
        while ((before[known]?.address ?? Number.POSITIVE_INFINITY) + (before[known]?.pages ?? 0) * pageBytes <= address) known++;
        const stored = before[known];
        if (stored === undefined || stored.address > address)
          throw new Error(`the page at ${address.toString(16)} is not in the snapshot before`);
        const inside = (address - stored.address) / pageBytes;
        pages = Math.min(pages, stored.pages - inside);
        yield { address, pages, stored: { chunk: stored.chunk, from: stored.from + inside } };
      }
      address += pages * pageBytes;
      at += pages;
      left -= pages;
    }
  }
}

function* stretchesOf(segments: Iterable<Segment>): Generator<Segment[]> {
  let stretch: Segment[] = [];
  let number = -1;
  for (const segment of segments) {
    const own = Math.floor(segment.address / stretchBytes);
    if (own !== number && stretch.length > 0) {
      yield stretch;
      stretch = [];
    }
    number = own;
    stretch.push(segment);
  }
  if (stretch.length > 0) yield stretch;
}
