// Pages between a helper and the link, as they are or compressed: which pays depends on the link alone. Compressing takes a core of each side some 2.5 s a GB
// of memory; a link that carries less than that core would make is worth it. It runs on a thread of its own, beside the enciphering.
import type { Readable, Writable } from "node:stream";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { pump } from "./pump.ts";

export type Transport = "plain" | "zstd";

/** How the pages of a move travelled: as one of these through the agents, or as they are over a connection of the helpers' own. */
export type PageTransport = Transport | "direct";

/** 1 Gbit/s: what a link carries at most for compressing to pay, bytes a second. */
const worthBelow = 130_000_000;

/** @param wireBytesPerSecond what the link to that node carried; undefined where nobody has measured it: then nothing is compressed */
export const chooseTransport = (wireBytesPerSecond: number | undefined): Transport =>
  wireBytesPerSecond !== undefined && wireBytesPerSecond < worthBelow ? "zstd" : "plain";

/** Rejects with TRANSFER_FAILED where either end breaks. */
export async function sendPages(from: Readable, to: Writable, transport: Transport): Promise<void> {
  if (transport === "plain") return pump(from, to);
  const packed = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  await Promise.all([pump(from, packed), pump(packed, to)]);
}

/** Rejects with TRANSFER_FAILED where either end breaks, or what came is not what such a link carries. */
export async function takePages(from: Readable, to: Writable, transport: Transport): Promise<void> {
  if (transport === "plain") return pump(from, to);
  const unpacked = createZstdDecompress();
  await Promise.all([pump(from, unpacked), pump(unpacked, to)]);
}
