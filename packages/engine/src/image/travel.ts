// The image of a workload goes with it where the target has neither unpacked it nor has its layout: as files, under the digest of the whole tree.
import type { TLSSocket } from "node:tls";
import { Fault, fault } from "@aether/contract";
import { z } from "zod";
import type { Peer, WorkloadSpec } from "../engine.ts";
import { sendTree, type Tree } from "../files/sync.ts";
import type { Host } from "../host.ts";
import { type LinkReader, writeLine } from "../link/frames.ts";
import type { Link } from "../link/link.ts";
import { fillImage, findImage, type ImagePin, imagePin, imageRootfs, requireImage } from "./images.ts";

const offer = z.object({ pin: imagePin, treeDigest: z.string(), bytes: z.number(), entries: z.number(), leftOut: z.number() });
const answer = z.object({ has: z.boolean() });
const outcome = z.object({ ok: z.boolean(), reason: z.string() });

/** Name of the tree on the wire. */
const tree = "image";

/** Source: the target has the image when this returns. */
export async function sendImage(
  host: Host,
  link: Link,
  peer: Peer,
  migrationId: string,
  pin: ImagePin,
  signal: AbortSignal,
): Promise<void> {
  const known = await findImage(host, pin.chainId);
  if (known === undefined) throw fault("ROOTFS_INVALID", `the image ${pin.chainId} is not on this node any more`);
  const { socket, reader } = await link.connect(peer, { migrationId, channel: "image" }, signal);
  try {
    const { treeDigest, bytes, entries, leftOut } = known;
    await writeLine(socket, { pin, treeDigest, bytes, entries, leftOut });
    if (!answer.parse(await reader.line()).has) {
      await sendTree(host, link, peer, migrationId, { name: tree, path: imageRootfs(host, pin.chainId) }, true, signal);
      await writeLine(socket, { sent: true });
    }
    const done = outcome.parse(await reader.line());
    if (!done.ok) throw fault("TRANSFER_FAILED", `the target did not take the image: ${done.reason}`);
  } finally {
    socket.destroy();
  }
}

export interface ImageDoor {
  /** Makes the tree reachable for the source's file channel, until the answer is called. */
  open(tree: Tree): () => void;
  /** The image is here; returns when that is on record. */
  keep(pin: ImagePin): Promise<void>;
}

/** Target: answers one offer. */
export async function receiveImage(
  host: Host,
  spec: WorkloadSpec,
  socket: TLSSocket,
  reader: LinkReader,
  door: ImageDoor,
  signal: AbortSignal,
): Promise<void> {
  // A source that is gone without a word must not keep us: whoever wants this image next would wait for the same.
  signal.addEventListener("abort", () => socket.destroy(), { once: true });
  const { pin, treeDigest, ...counts } = offer.parse(await reader.line());
  const isHere = await requireImage(host, spec, pin, signal).then(
    () => true,
    (caught: unknown) => {
      host.options.log.info({ chainId: pin.chainId, reason: Fault.from(caught).message }, "image.wanted");
      return false;
    },
  );
  await writeLine(socket, { has: isHere });
  try {
    if (!isHere) await receiveTree(pin);
    const known = await findImage(host, pin.chainId);
    if (known?.isOwn === false && known.treeDigest !== treeDigest)
      throw fault("ROOTFS_INVALID", `the image ${pin.chainId}, which another node sent here, has other files than the workload's`);
    await door.keep(pin);
    await writeLine(socket, { ok: true, reason: "" });
  } catch (caught) {
    const problem = Fault.from(caught);
    await writeLine(socket, { ok: false, reason: problem.message });
    throw problem;
  }

  function receiveTree({ chainId }: ImagePin) {
    return fillImage(
      host,
      chainId,
      async (root) => {
        const shut = door.open({ name: tree, path: root });
        try {
          z.object({ sent: z.literal(true) }).parse(await reader.line());
        } finally {
          shut();
        }
        return counts;
      },
      treeDigest,
    );
  }
}
