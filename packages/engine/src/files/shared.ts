// Are the `shared` volumes of a workload the same storage on both hosts? Asked before anything is frozen, by doing: each side writes a small file with a
// random name and content where it may write, and the other one must read it there. Facts of the file systems only explain an answer, or stand in for one
// where neither side may write. The files go away on every path: also after a crash, since where they lie is on disk before they are.
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open, readdir, realpath, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { Fault, fault } from "@aether/contract";
import { faultpoint, isErrno, readTextIfThere, sleep, withDeadline, writeFileAtomic } from "@aether/kit";
import { z } from "zod";
import type { Volume } from "../engine.ts";
import type { Host } from "../host.ts";
import { type LinkReader, writeLine } from "../link/frames.ts";
import { type MountFacts, ownMountOf } from "./mounts.ts";

const probeName = z.string().regex(/^\.aether-probe-[0-9a-f]{24}$/);
const mountFacts = z.object({ type: z.string().max(60), source: z.string().max(500), isReadOnly: z.boolean() });

/** What one side says of one volume. */
const offer = z.object({
  index: z.number().int().nonnegative(),
  /** Name of the file that it has written; null where it cannot. */
  probe: probeName.nullable(),
  /** Why it could not write. */
  reason: z.string().max(500),
  mount: mountFacts.nullable(),
  /** Of the directory itself: one more sign where nobody may write. */
  inode: z.string(),
});
type Offer = z.infer<typeof offer>;
/** What it found of the other one's file: its content, or null. */
const sight = z.object({ content: z.string().nullable() });
const answer = offer.extend(sight.shape);

const contentBytes = 24;
/** A file system between the hosts may take this long to show what was written on the other one, ms. */
const showsWithinMs = 3_000;
const answerDeadlineMs = 20_000;

export type SharedVolume = Volume & { readonly index: number };

export const sharedVolumes = (volumes: readonly Volume[]): SharedVolume[] =>
  volumes.map((volume, index) => ({ ...volume, index })).filter(({ mode }) => mode === "shared");

/** Source. Throws VOLUME_NOT_SHARED naming the volume, and what each node has there. `facts` say how each one was found to be the same. */
export async function compareSharedVolumes(
  host: Host,
  volumes: readonly SharedVolume[],
  link: { readonly socket: TLSSocket; readonly reader: LinkReader },
  peerNode: string,
  facts: Record<string, string>,
  signal: AbortSignal,
): Promise<void> {
  const line = <T>(schema: z.ZodType<T>) =>
    withDeadline("the target to look at the shared volumes", answerDeadlineMs, async () => schema.parse(await link.reader.line()), signal);
  for (const volume of volumes) {
    const ours = await makeProbe(host, volume);
    try {
      await faultpoint("shared.probe_written");
      await writeLine(link.socket, ours.offer);
      const theirs = await line(answer);
      const seenHere = await read(volume, theirs.probe);
      await writeLine(link.socket, { content: seenHere });
      const { content: theirContent } = await line(sight); // what their file holds, told after we have read it
      const why = judge(ours, theirs, seenHere, theirContent);
      const place = `${volume.source}: ${describe(ours.offer.mount)} here, ${describe(theirs.mount)} on ${peerNode}`;
      if (why.isSame) facts[volume.source] = why.how;
      else
        throw fault("VOLUME_NOT_SHARED", `${place}; ${why.how}`, {
          field: `spec.volumes[${volume.index}].source`,
          details: { volume: volume.source },
        });
    } finally {
      await ours.remove();
    }
  }
}

interface Probe {
  readonly offer: Offer;
  readonly content: string;
  remove(): Promise<void>;
}

export function judge(
  ours: { readonly offer: Offer; readonly content: string },
  theirs: z.infer<typeof answer>,
  seenHere: string | null,
  theirContent: string | null,
): { readonly isSame: boolean; readonly how: string } {
  if (ours.offer.probe !== null && theirs.content !== ours.content)
    return { isSame: false, how: "a file written here does not show up there" };
  if (theirs.probe !== null && (theirContent === null || seenHere !== theirContent))
    return { isSame: false, how: "a file written there does not show up here" };
  if (ours.offer.probe !== null && theirs.probe !== null) return { isSame: true, how: "written on each node, read on the other" };
  if (ours.offer.probe !== null) return { isSame: true, how: "written on the source, read on the target" };
  if (theirs.probe !== null) return { isSame: true, how: "written on the target, read on the source" };
  // Nobody may write: storage that says by its own name what it is, and the same directory in it.
  const [here, there] = [ours.offer.mount, theirs.mount];
  const isSame =
    here !== null && there !== null && here.type === there.type && here.source === there.source && ours.offer.inode === theirs.inode;
  return isSame
    ? { isSame, how: `read-only on both nodes: the same directory of ${here.source}` }
    : { isSame, how: `neither node may write there (${ours.offer.reason}; ${theirs.reason}), and the mounts are not the same` };
}

const describe = (mount: MountFacts | null): string =>
  mount === null ? "an unknown mount" : `${mount.type} of ${mount.source}${mount.isReadOnly ? " (read-only)" : ""}`;

/** Target: answers one connection of the source. */
export async function answerSharedVolumes(host: Host, volumes: readonly Volume[], socket: TLSSocket, reader: LinkReader): Promise<void> {
  const shared = sharedVolumes(volumes);
  const line = <T>(schema: z.ZodType<T>) =>
    withDeadline("the source to compare the shared volumes", answerDeadlineMs, async () => schema.parse(await reader.line()));
  for (const _ of shared) {
    const asked = await line(offer);
    const volume = shared.find(({ index }) => index === asked.index);
    if (volume === undefined) throw fault("TRANSFER_FAILED", `there is no shared volume ${asked.index} here`);
    const ours = await makeProbe(host, volume);
    try {
      await writeLine(socket, { ...ours.offer, content: await read(volume, asked.probe) });
      await line(sight);
      await writeLine(socket, { content: ours.offer.probe === null ? null : ours.content });
    } finally {
      await ours.remove();
    }
  }
}

const intentsDir = (host: Host): string => join(host.options.stateDir, "probes");

async function makeProbe(host: Host, volume: SharedVolume): Promise<Probe> {
  const name = `.aether-probe-${randomBytes(12).toString("hex")}`;
  const content = randomBytes(contentBytes).toString("hex");
  const intent = join(intentsDir(host), name);
  let dir: string;
  try {
    dir = await realpath(volume.source);
  } catch (cause) {
    throw fault("VOLUME_NOT_SHARED", `${volume.source} is not on ${host.options.hostId}`, {
      cause,
      field: `spec.volumes[${volume.index}].source`,
    });
  }
  const common = { index: volume.index, mount: ownMountOf(dir) ?? null, inode: String((await stat(dir, { bigint: true })).ino) };
  await mkdir(intentsDir(host), { recursive: true, mode: 0o700 });
  await writeFileAtomic(intent, join(dir, name));
  const remove = async () => {
    await rm(join(dir, name), { force: true });
    await rm(intent, { force: true });
  };
  try {
    await writeFile(join(dir, name), content, { flag: "wx", mode: 0o600 });
    return { offer: { ...common, probe: name, reason: "" }, content, remove };
  } catch (caught) {
    await remove().catch(() => undefined); // a read-only file system: nothing was made
    await rm(intent, { force: true });
    return { offer: { ...common, probe: null, reason: Fault.from(caught).message.slice(0, 400) }, content, remove: async () => undefined };
  }
}

/** The other side's file, as soon as it shows up; null when it does not. */
async function read(volume: Volume, probe: string | null): Promise<string | null> {
  if (probe === null) return null;
  for (const began = performance.now(); ; await sleep(100)) {
    const text = await readProbe(join(volume.source, probe)).catch((caught: unknown) => {
      if (isErrno(caught, "ENOENT", "ESTALE", "EACCES", "EIO", "ELOOP", "ENXIO")) return "";
      throw caught;
    });
    if (text !== "") return text;
    if (performance.now() - began > showsWithinMs) return null;
  }
}

/** Whoever may write in the volume may put something else there: no link is followed, no pipe is waited for, and no more is read than we wrote. */
async function readProbe(path: string): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!(await file.stat()).isFile()) return "";
    const { buffer, bytesRead } = await file.read(Buffer.alloc(contentBytes * 2 + 1), 0);
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}

/** After a restart: files that a crash left in shared volumes. One that cannot be removed now (the storage is away) is tried again next time. */
export async function removeLeftProbes(host: Host): Promise<void> {
  const names = await readdir(intentsDir(host)).catch((caught: unknown) => {
    if (isErrno(caught, "ENOENT")) return [];
    throw caught;
  });
  for (const name of names.filter((each) => probeName.safeParse(each).success)) {
    const intent = join(intentsDir(host), name);
    const path = await readTextIfThere(intent);
    try {
      if (path?.endsWith(`/${name}`)) await rm(path, { force: true });
      await rm(intent, { force: true });
    } catch (caught) {
      host.options.log.warn({ err: caught, path }, "shared.probe_left");
    }
  }
}
