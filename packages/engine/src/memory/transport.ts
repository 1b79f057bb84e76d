// Pages between a helper and the link, as they are or compressed: which pays depends on the link alone. Compressing takes a core of each side some 2.5 s a GB
// of memory; a link that carries less than that core would make is worth it. It runs on a thread of its own, beside the enciphering.
import type { Readable, Writable } from "node:stream";
import { constants, createZstdCompress, createZstdDecompress, type ZstdCompress } from "node:zlib";
import { pump } from "./pump.ts";

export type Transport = "plain" | "zstd";

/** How the pages of a move travelled: as one of these through the agents, or as they are over a connection of the helpers' own. */
export type PageTransport = Transport | "direct";

/**
 * Half a gigabit a second: what a link carries at most for compressing to pay, bytes a second. On one of 1 Gbit/s, with two processors, compressed memory arrived no faster than as it is, and
 * the freeze was 40 ms longer: the agents carry it, and they have other work then.
 */
const worthBelow = 65_000_000;

/** Compressing doubles the processor time of a copy, and makes each page's way longer: by less than this it is not worth it. */
const worthTimes = 1.3;

/**
 * @param wireBytesPerSecond what the link to that node carried; undefined where nobody has measured it: then nothing is compressed
 * @param packedBytesPerSecond memory that travelled compressed to that node before; undefined where none did
 */
export const chooseTransport = (wireBytesPerSecond: number | undefined, packedBytesPerSecond?: number): Transport =>
  wireBytesPerSecond !== undefined &&
  wireBytesPerSecond < worthBelow &&
  (packedBytesPerSecond === undefined || packedBytesPerSecond > wireBytesPerSecond * worthTimes)
    ? "zstd"
    : "plain";

/** Of (un)packed pages in one piece. */
const chunkSize = 128 << 10;
/** What waits packed is several times as much unpacked, and who is packed for is a slow link: little is enough to keep it busy, and more is only longer on its way. */
const maxWaitingBytes = 1 << 20;

/** Rejects with TRANSFER_FAILED where either end breaks. */
export async function sendPages(from: Readable, to: Writable, transport: Transport): Promise<void> {
  if (transport === "plain") return pump(from, to);
  const packed = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 }, chunkSize });
  flushWhenIdle(from, packed);
  await Promise.all([pump(from, packed, maxWaitingBytes), pump(packed, to, maxWaitingBytes)]);
}

/** So long nothing more comes from a tracker whose pass has ended, ms; where more was to come it costs a little of the ratio. */
const idleMs = 2;

/** A compressor keeps up to 128 KiB until more comes. What it keeps is the end of a pass, and the mark behind it, for which the target and the freeze wait. */
function flushWhenIdle(from: Readable, packed: ZstdCompress): void {
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    if (packed.writable) packed.flush(constants.ZSTD_e_flush);
  };
  from.on("data", () => {
    timer = timer?.refresh() ?? setTimeout(flush, idleMs);
  });
  from.once("close", () => clearTimeout(timer));
}

/** Rejects with TRANSFER_FAILED where either end breaks, or what came is not what such a link carries. */
export async function takePages(from: Readable, to: Writable, transport: Transport): Promise<void> {
  if (transport === "plain") return pump(from, to);
  const unpacked = createZstdDecompress({ chunkSize });
  await Promise.all([pump(from, unpacked, maxWaitingBytes), pump(unpacked, to, maxWaitingBytes)]);
}
