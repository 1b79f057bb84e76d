// criu's images into the store: those of memory by where their pages lie, everything else as files.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isErrno, type Logger } from "@aether/kit";
import { outputTailName } from "../steps/images.ts";
import type { ChunkWriter } from "./content.ts";
import type { SnapshotBody } from "./manifest.ts";
import { planPages, readPagemap, type StoredRun } from "./pages.ts";
import type { Since } from "./standing.ts";

export interface StoredImages {
  readonly images: SnapshotBody["images"];
  /** Where each page lies now, by pagemap image: what the next snapshot goes by. */
  readonly pages: Since["pages"];
}

/** @param since the snapshot whose pages are holes in these images. Throws where it has not all of them. */
export async function storeImages(dir: string, writer: ChunkWriter, since: Since | undefined, log: Logger): Promise<StoredImages> {
  const names = (await readdir(dir)).filter((name) => name.endsWith(".img") || name === outputTailName).sort();
  const images: SnapshotBody["images"] = [];
  const pages = new Map<string, readonly StoredRun[]>();
  const done = new Set<string>();
  for (const name of names.filter((one) => one.startsWith("pagemap-"))) {
    const map = await readPagemap(join(dir, name)).catch((caught: unknown) => {
      if (since !== undefined) throw caught; // its image may have holes
      log.warn({ err: caught, name }, "snapshot.pagemap");
      return undefined;
    });
    if (map === undefined) continue; // cut evenly, as a file: more is written than need be, nothing is lost
    const pagesName = `pages-${map.pagesId}.img`;
    const holes = await holesOf(join(dir, `elsewhere-${map.pagesId}`));
    if (!names.includes(pagesName)) continue;
    const stored = await writer.putPages(join(dir, pagesName), planPages(map.runs, holes, since?.pages.get(name) ?? []));
    images.push({ name: pagesName, ...stored.content });
    pages.set(name, stored.runs);
    done.add(pagesName);
  }
  for (const name of names) {
    if (!done.has(name)) images.push({ name, ...(await writer.put(join(dir, name))) });
  }
  return { images: images.sort((a, b) => (a.name < b.name ? -1 : 1)), pages };
}

/** What the keeper says of an image's holes (native/src/memory/keep.c). */
async function holesOf(path: string): Promise<[number, number][]> {
  const bytes = await readFile(path).catch((caught: unknown) => {
    if (isErrno(caught, "ENOENT")) return Buffer.alloc(0);
    throw caught;
  });
  return Array.from({ length: Math.floor(bytes.length / 16) }, (_, i) => [
    Number(bytes.readBigUInt64LE(i * 16)),
    Number(bytes.readBigUInt64LE(i * 16 + 8)),
  ]);
}
