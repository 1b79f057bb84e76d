// Checkpoint images on the wire. What the source knows of the move goes first, as soon as its files are final, so that the target can make ready while criu
// still writes; pages follow while they are written; the small images go at the end, in one bundle under one list: each message of its own costs an agent
// some tenth of a millisecond in the freeze. A part says its name and length, and the last word about each image is its digest: both sides make it from the
// bytes that passed.
import { createHash, type Hash, hash } from "node:crypto";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { Fault, fault } from "@aether/contract";
import { faultpoint, isErrno, sleep, withDeadline } from "@aether/kit";
import { z } from "zod";
import type { ManifestEntry } from "../engine.ts";
import { type LinkReader, write, writeLine, writeThrough } from "../link/frames.ts";

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$/);
const announced = z.object({
  /** Inodes of the workload's pipes: they are named in the images. */
  stdout: z.number(),
  stderr: z.number(),
  isLazy: z.boolean(),
  /** Its memory was copied ahead: the images lack those pages, and this host must have them. */
  isPreCopied: z.boolean(),
  /** It will say where each TCP connection stands. A part of the evidence that only one side knows of would not be equal: each names what it has. */
  hasSequences: z.boolean().default(false),
});
const facts = announced.extend({
  /** On the target's clock. */
  cutAtMs: z.number(),
  /** On the target's clock: when the kernel stopped the first task; null where it was not asked. */
  stoppedAtMs: z.number().nullable(),
  clockErrorMs: z.number(),
  linkAddress: z.ipv4(),
  linkPort: z.number().int(),
});
const message = z.union([
  /** Whole images: `bytes` of each follow, one after the other. */
  z.object({ bundle: z.array(z.object({ name, bytes: z.number().int().nonnegative(), sha256: z.string() })) }),
  z.object({ name, bytes: z.number().int().nonnegative() }),
  z.object({ name, sha256: z.string() }),
  z.object({
    ping: z.literal(true),
    coming: announced.optional(),
    arrivedPass: z.number().int().nonnegative().optional(),
    patienceMs: z.number().nonnegative().max(60_000).default(0),
    settle: z.boolean().default(false),
  }),
  z.object({ facts }),
  z.object({ end: z.literal(true) }),
]);
const pong = z.object({ nowMs: z.number(), takesBundles: z.boolean().default(false) });
const receipt = z.object({ ok: z.boolean(), reason: z.string(), hasSequences: z.boolean().default(false) });

/** How the images will come: enough for the target to have everything ready before they do. */
export type Announced = z.infer<typeof announced>;

/** What the target must know beside the images. */
export type SourceFacts = z.infer<typeof facts>;

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
const isImage = (file: string) => file.endsWith(".img") || file === outputTailName;
/** criu writes these from their beginning to their end, so a part that is there is final. */
const isPages = (file: string) => /^pages-\d+\.img$/.test(file);

const settleDeadlineMs = 10_000;

const partBytes = 1 << 20;
/** Of one bundle; its list must fit into a line. */
const bundleLimit = { bytes: 4 << 20, images: 4000 };

export interface ImageSender {
  /** Before the workload is stopped. An older target answers, and passes over what it says. */
  announce(coming: Announced): Promise<void>;
  /** Waits until the target has all memory that was sent up to the end of this pass, `patienceMs` (60 s at most) at the longest. */
  arrived(pass: number, patienceMs: number, signal: AbortSignal): Promise<void>;
  /** The target collects its garbage now; an older one has done so before. */
  settle(signal: AbortSignal): Promise<void>;
  /** First word: the files are final, and this is what else the target must know. */
  begin(facts: SourceFacts): Promise<void>;
  /** Sends pages while criu writes them, until `writing` is settled. Throws TRANSFER_FAILED; how `writing` ends is its owner's affair. */
  follow(writing: Promise<unknown>): Promise<void>;
  /** Sends all that is left. Returns the digests as sent; throws TRANSFER_FAILED when the target did not get everything whole. */
  finish(): Promise<{ readonly entries: ManifestEntry[]; readonly hasSequences: boolean }>;
}

/** The images are small files in a memory file system, read at once: the detour over Node's threads took several times as long as the reading. */
export function createImageSender(socket: TLSSocket, reader: LinkReader, dir: string): ImageSender {
  const sent = new Map<string, { bytes: number; hash: Hash }>();
  let takesBundles = false;
  /** One for all parts: a megabyte of garbage for each would make a small heap be collected in the middle of the freeze. */
  const room = Buffer.allocUnsafeSlow(partBytes);

  /** Sends the next part of an image; false when there is nothing new. One at a time. */
  async function sendPart(file: string, atLeast: number): Promise<boolean> {
    const path = join(dir, file);
    const known = sent.get(file) ?? { bytes: 0, hash: createHash("sha256") };
    const left = statSync(path).size - known.bytes;
    if (left < atLeast || (left === 0 && sent.has(file))) return false;
    const part = room.subarray(0, Math.min(left, partBytes));
    const fd = openSync(path, "r");
    try {
      for (let at = 0; at < part.length; ) {
        const got = readSync(fd, part, at, part.length - at, known.bytes + at);
        if (got === 0) throw fault("TRANSFER_FAILED", `${file} became shorter while it was sent`);
        at += got;
      }
    } finally {
      closeSync(fd);
    }
    known.hash.update(part);
    sent.set(file, { bytes: known.bytes + part.length, hash: known.hash });
    await writeLine(socket, { name: file, bytes: part.length });
    if (part.length > 0) await writeThrough(socket, part);
    return true;
  }

  return {
    async announce(coming) {
      await writeLine(socket, { ping: true, coming });
      ({ takesBundles } = pong.parse(await reader.line()));
    },
    async arrived(pass, patienceMs, signal) {
      await writeLine(socket, { ping: true, arrivedPass: pass, patienceMs });
      await withDeadline("the memory that was sent to arrive", patienceMs + 10_000, async () => pong.parse(await reader.line()), signal);
    },
    async settle(signal) {
      await writeLine(socket, { ping: true, settle: true });
      await withDeadline("the target to be ready for the freeze", settleDeadlineMs, async () => pong.parse(await reader.line()), signal);
    },
    begin: (said) => writeLine(socket, { facts: said }),
    async follow(writing) {
      let isWriting = true;
      const stop = () => {
        isWriting = false;
      };
      const settled = writing.then(stop, stop);
      while (isWriting) {
        let hasSent = false;
        for (const file of filesIn(dir).filter(isPages)) if (await sendPart(file, partBytes)) hasSent = true;
        if (!hasSent) await Promise.race([sleep(2), settled]);
      }
    },
    async finish() {
      const entries: ManifestEntry[] = [];
      let bundle: { entry: ManifestEntry; content: Buffer }[] = [];
      let bundled = 0;
      const putBundle = async () => {
        if (bundle.length === 0) return;
        entries.push(...bundle.map(({ entry }) => entry));
        const pieces = [lineOf({ bundle: bundle.map(({ entry }) => entry) }), ...bundle.map(({ content }) => content)];
        [bundle, bundled] = [[], 0];
        await write(socket, Buffer.concat(pieces));
      };
      for (const file of filesIn(dir).filter(isImage).sort()) {
        if (takesBundles && !sent.has(file) && statSync(join(dir, file)).size <= partBytes) {
          const content = readFileSync(join(dir, file));
          bundle.push({ entry: { name: file, bytes: content.length, sha256: hash("sha256", content) }, content });
          bundled += content.length;
          if (bundled > bundleLimit.bytes - partBytes || bundle.length === bundleLimit.images) await putBundle();
        } else for (let atLeast = 0; await sendPart(file, atLeast); ) atLeast = 1;
      }
      await putBundle();
      await faultpoint("transfer.half");
      const others = [...sent].map(([file, { bytes, hash }]) => ({ name: file, bytes, sha256: hash.digest("hex") }));
      entries.push(...others);
      const closing = others.map((entry) => lineOf({ name: entry.name, sha256: entry.sha256 }));
      await write(socket, Buffer.concat([...closing, lineOf({ end: true })]));
      const answer = receipt.parse(await reader.line());
      if (!answer.ok) throw fault("TRANSFER_FAILED", `the target did not take the images: ${answer.reason}`);
      return { entries, hasSequences: answer.hasSequences };
    },
  };
}

const lineOf = (value: unknown) => Buffer.from(`${JSON.stringify(value)}\n`);

function filesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (caught) {
    if (isErrno(caught, "ENOENT")) return [];
    throw caught;
  }
}

export interface ReceivedImages {
  readonly entries: readonly ManifestEntry[];
  readonly areEqual: boolean;
}

/**
 * Receives images into `dir`; digests are made from the bytes that came, and compared with the sender's. `onFacts` is called when the files are final,
 * `onAnnounced` before the workload is stopped (never, where the source is an older one), `untilArrived` when it asks whether all memory up to a pass is here, `settle`
 * right before the cut.
 * The sender is told why when they cannot be taken.
 */
export async function receiveImages(
  socket: TLSSocket,
  reader: LinkReader,
  dir: string,
  onFacts: (facts: SourceFacts) => void,
  onAnnounced: (coming: Announced) => void = () => undefined,
  untilArrived: (pass: number) => Promise<unknown> = async () => undefined,
  settle: () => void = () => undefined,
): Promise<ReceivedImages> {
  const open = new Map<string, { fd: number; bytes: number; hash: Hash }>();
  const entries: ManifestEntry[] = [];
  let areEqual = true;
  const imageOf = (file: string) => {
    const known = open.get(file) ?? { fd: openSync(join(dir, file), "w", 0o600), bytes: 0, hash: createHash("sha256") };
    open.set(file, known);
    return known;
  };
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (;;) {
      const next = message.parse(await reader.line());
      if ("ping" in next) {
        if (next.coming !== undefined) onAnnounced(next.coming);
        if (next.settle) settle();
        if (next.arrivedPass !== undefined) await Promise.race([untilArrived(next.arrivedPass), sleep(next.patienceMs)]);
        await writeLine(socket, { nowMs: performance.timeOrigin + performance.now(), takesBundles: true });
      } else if ("facts" in next) onFacts(next.facts);
      else if ("bytes" in next) {
        const image = imageOf(next.name);
        for await (const chunk of reader.bytes(next.bytes)) {
          image.hash.update(chunk);
          for (let at = 0; at < chunk.length; ) at += writeSync(image.fd, chunk, at);
        }
        image.bytes += next.bytes;
      } else if ("bundle" in next) {
        const size = next.bundle.reduce((sum, { bytes }) => sum + bytes, 0);
        if (size > bundleLimit.bytes) throw fault("TRANSFER_FAILED", `a bundle of ${size} bytes is over the limit`);
        let left = await reader.exactly(size);
        for (const { name: file, bytes, sha256 } of next.bundle) {
          if (open.has(file)) throw fault("TRANSFER_FAILED", `${file} came in parts and in a bundle`);
          const content = left.subarray(0, bytes);
          left = left.subarray(bytes);
          writeFileSync(join(dir, file), content, { mode: 0o600 });
          const found = hash("sha256", content);
          if (found !== sha256) areEqual = false;
          entries.push({ name: file, bytes, sha256: found });
        }
      } else if ("sha256" in next) {
        const image = imageOf(next.name);
        const sha256 = image.hash.digest("hex");
        if (sha256 !== next.sha256) areEqual = false;
        entries.push({ name: next.name, bytes: image.bytes, sha256 });
        closeSync(image.fd);
        open.delete(next.name);
      } else {
        if (open.size > 0) throw fault("TRANSFER_FAILED", `${[...open.keys()][0]} came without its digest`);
        await writeLine(
          socket,
          areEqual ? { ok: true, reason: "", hasSequences: true } : { ok: false, reason: "the digest of an image does not match" },
        );
        return { entries, areEqual };
      }
    }
  } catch (caught) {
    const problem = Fault.from(caught);
    await writeLine(socket, { ok: false, reason: problem.message }).catch(() => undefined); // the link itself may be what broke
    throw problem;
  } finally {
    for (const { fd } of open.values()) closeSync(fd);
  }
}
