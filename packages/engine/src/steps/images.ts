// Checkpoint images on the wire: each file announced by name and size, followed by its bytes and then by its digest; at the end what the source knows of itself.
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { fault } from "@aether/contract";
import { faultpoint } from "@aether/kit";
import { z } from "zod";
import type { ManifestEntry } from "../engine.ts";
import { digesting, type LinkReader, write, writeLine } from "../link/frames.ts";

const announcement = z.union([
  z.object({ name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$/), bytes: z.number().int().nonnegative() }),
  z.object({ ping: z.literal(true) }),
  z.object({
    end: z.object({
      stdout: z.number(),
      stderr: z.number(),
      isLazy: z.boolean(),
      cutAtMs: z.number(),
      clockErrorMs: z.number(),
      resetsSent: z.number(),
      linkAddress: z.ipv4(),
      linkPort: z.number().int(),
    }),
  }),
]);
const pong = z.object({ nowMs: z.number() });
const trailer = z.object({ sha256: z.string() });
const receipt = z.object({ ok: z.boolean(), reason: z.string() });

/** What the target must know beside the images. */
export type SourceFacts = z.infer<(typeof announcement)["options"][2]>["end"];

/**
 * How far the peer's wall clock is ahead of ours, ms: the best of eight round trips, whose half is the error bound (Cristian's algorithm).
 */
export async function compareClocks(socket: TLSSocket, reader: LinkReader): Promise<{ offsetMs: number; errorMs: number }> {
  let best = { offsetMs: 0, errorMs: Number.POSITIVE_INFINITY };
  for (let i = 0; i < 8; i++) {
    const began = performance.now();
    await writeLine(socket, { ping: true });
    const { nowMs } = pong.parse(await reader.line());
    const errorMs = (performance.now() - began) / 2;
    if (errorMs < best.errorMs) best = { offsetMs: nowMs + errorMs - (performance.timeOrigin + performance.now()), errorMs };
  }
  return best;
}

/** The end of the workload's output travels beside the images, so that its log goes on where it was. */
export const outputTailName = "output.tail";

/** criu's logs and statistics are of no use on the other side. */
const isImage = (name: string) => name.endsWith(".img") || name === outputTailName;

/** Sends every image. Returns their digests as sent; throws TRANSFER_FAILED when the target did not get them whole. */
export async function sendImages(socket: TLSSocket, reader: LinkReader, dir: string, facts: SourceFacts): Promise<ManifestEntry[]> {
  const sent: ManifestEntry[] = [];
  for (const name of (await readdir(dir)).filter(isImage).sort()) {
    const path = join(dir, name);
    const { size } = await stat(path);
    await writeLine(socket, { name, bytes: size });
    const digest = digesting();
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
      digest.update(chunk);
      await write(socket, chunk);
    }
    await faultpoint("transfer.half");
    await writeLine(socket, { sha256: digest.hex() });
    sent.push({ name, bytes: size, sha256: digest.hex() });
  }
  await writeLine(socket, { end: facts });
  const answer = receipt.parse(await reader.line());
  if (!answer.ok) throw fault("TRANSFER_FAILED", `the target did not take the images: ${answer.reason}`);
  return sent;
}

export interface ReceivedImages {
  readonly entries: readonly ManifestEntry[];
  readonly areEqual: boolean;
  readonly facts: SourceFacts;
}

/** Receives images into `dir`; digests are made from the bytes that came, and compared with the sender's. */
export async function receiveImages(socket: TLSSocket, reader: LinkReader, dir: string): Promise<ReceivedImages> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const entries: ManifestEntry[] = [];
  let areEqual = true;
  for (;;) {
    const next = announcement.parse(await reader.line());
    if ("ping" in next) {
      await writeLine(socket, { nowMs: performance.timeOrigin + performance.now() });
      continue;
    }
    if ("end" in next) {
      await writeLine(socket, areEqual ? { ok: true, reason: "" } : { ok: false, reason: "the digest of an image does not match" });
      return { entries, areEqual, facts: next.end };
    }
    const digest = digesting();
    const file = createWriteStream(join(dir, next.name), { mode: 0o600, highWaterMark: 1 << 20 });
    for await (const chunk of reader.bytes(next.bytes)) {
      digest.update(chunk);
      await write(file, chunk);
    }
    await new Promise<void>((resolve, reject) => {
      file.once("error", reject);
      file.end(resolve);
    });
    const said = trailer.parse(await reader.line());
    if (said.sha256 !== digest.hex()) areEqual = false;
    entries.push({ name: next.name, bytes: next.bytes, sha256: digest.hex() });
  }
}
