// Source: the memory of a workload is copied to the target while it runs, and tracked until it is frozen (native/src/memory/source.c).
import { rmSync } from "node:fs";
import { join } from "node:path";
import { Fault, fault } from "@aether/contract";
import { sleep, withDeadline } from "@aether/kit";
import { z } from "zod";
import type { HeldPages } from "../checkpoint/criu.ts";
import type { Peer } from "../engine.ts";
import type { Host } from "../host.ts";
import type { Link, LinkHeader } from "../link/link.ts";
import { freezerDir } from "../runtime/cgroup.ts";
import { type Carrier, helperToHelper, throughAgent } from "./carrier.ts";
import { startHelper } from "./helper.ts";
import type { Round } from "./rounds.ts";
import type { PageTransport, Transport } from "./transport.ts";

const count = z.number().nonnegative();
const roundLine = z.object({
  number: count,
  ms: count,
  writtenPages: count,
  sentPages: count,
  zeroPages: count,
  bytes: count,
  spaces: count,
  refused: count,
  comparedPages: count,
});
const frozenLine = z.object({ keptPages: count, lastPages: count });
const sealedLine = z.object({ keptPages: count, lastPages: count, bytes: count, sharedPages: count, comparedPages: count });
const progressLine = z.object({ bytes: count });
const rateLine = z.object({ bytesPerSecond: count });
const wireLine = z.object({ wireBytes: count.default(0), linkMs: count.optional() });
const refusedLine = z.object({ pid: count, reason: z.string() });
const spaceLine = z.object({ space: count, pages: count, digest: z.string() });

/** Kept pages of one process, by its pid in the workload, with their digest. */
export type SpaceDigest = z.infer<typeof spaceLine>;

export interface Tracker {
  readonly pid: number;
  /** Which pages criu shall leave out. */
  readonly held: HeldPages;
  /**
   * Copies what was written since the last pass. `onBytes`: so far in this pass. It ends, and its time is over, when its pages are there, or all but what the kernel's
   * buffers hold: megabytes wait in every one between here and there, and a pass that ended with them would say nothing of the link.
   */
  round(signal: AbortSignal, onBytes?: (bytes: number) => void): Promise<Round>;
  /** The same, but shared memory, which has to be compared, is looked at seldom: for keeping things fresh. */
  freshen(signal: AbortSignal): Promise<Round>;
  /** The workload is frozen: from the answer on criu may dump. */
  frozen(): Promise<z.infer<typeof frozenLine>>;
  /** After `frozen`: everything is on its way, and this is its digest. */
  sealed(): Promise<z.infer<typeof sealedLine> & { readonly spaces: readonly SpaceDigest[] }>;
  /** Processes whose memory criu must carry, and why. */
  refused(): readonly { readonly pid: number; readonly reason: string }[];
  /** Standing trackers alone: how fast the workload writes its memory, bytes a second. */
  look(signal: AbortSignal): Promise<number>;
  problem(): string | undefined;
  /** That went over the link, up to the last pass. */
  wireBytes(): number;
  /** What the link carries, bytes a second: by how long the kernel waited for it, not for either side's processors. Undefined where nothing tells. */
  linkBytesPerSecond(): number | undefined;
  close(): void;
}

/** A pass must get on: a link that takes nothing for this long is broken. */
const stalledMs = 30_000;
const frozenDeadlineMs = 10_000;

/** Starts tracking. `quota`: a file that the tracker leaves as it found it, whatever becomes of us. Throws TRANSFER_FAILED with the reason where it cannot be done. The workload is the same afterwards, whatever becomes of the tracker. */
export async function startTracker(
  host: Host,
  link: Link,
  ref: { readonly migrationId: string; readonly workload: string },
  peer: Peer,
  transport: Transport,
  quota: string | undefined,
  coming: LinkHeader["coming"],
  signal: AbortSignal,
): Promise<{ readonly tracker: Tracker; readonly transport: PageTransport }> {
  const options = { quota, isSharing: true };
  if (transport === "plain" && host.helperTls !== undefined) {
    try {
      const carrier = helperToHelper(host, link, ref.migrationId, peer, signal, coming);
      return { tracker: await trackInto(host, ref.migrationId, ref.workload, carrier, signal, options), transport: "direct" };
    } catch (caught) {
      signal.throwIfAborted();
      host.options.log.warn({ peer: peer.nodeId, reason: Fault.from(caught).message }, "memory.through_agents");
    }
  }
  const gone = new AbortController();
  const { socket, reader } = await link.connect(
    peer,
    { migrationId: ref.migrationId, channel: "memory", transport, coming },
    AbortSignal.any([signal, gone.signal]),
  );
  const carrier = throughAgent(socket, transport, reader, () => gone.abort());
  return { tracker: await trackInto(host, ref.migrationId, ref.workload, carrier, signal, options), transport };
}

export interface TrackOptions {
  /** A file that the tracker leaves as it found it, whatever becomes of us. */
  readonly quota?: string | undefined;
  /** Shared memory as well: only for a reader that puts it in place, since criu's images then lack it. */
  readonly isSharing?: boolean;
  /** It goes on after `sealed`: further passes copy what was written since, and the reader's stream does not end. */
  readonly isStanding?: boolean;
}

/**
 * The same with any carrier, which is closed with the tracker.
 * @param id names the tracker among those of this host
 */
export async function trackInto(
  host: Host,
  id: string,
  workload: string,
  carrier: Carrier,
  signal: AbortSignal,
  { quota, isSharing = false, isStanding = false }: TrackOptions = {},
): Promise<Tracker> {
  const held: HeldPages = { socket: join(host.memoryDir, `${id}.answers`), file: join(host.memoryDir, `${id}.held`) };
  const procs = join(await freezerDir(host, workload), "cgroup.procs");
  const helper = startHelper(host, [
    ...["memory-source", "--procs", procs, "--answers", held.socket, "--held", held.file, "--data-fd", "3"],
    ...carrier.options,
    ...(isSharing ? ["--shared", "1"] : []),
    ...(isStanding ? ["--standing", "1"] : []),
    ...(quota === undefined ? [] : ["--cpu-quota", quota]),
  ]);
  const refused: z.infer<typeof refusedLine>[] = [];
  let heardMs = performance.now();
  let wireBytes = 0;
  let linkBytesPerSecond: number | undefined;
  let onProgress: ((bytes: number) => void) | undefined;
  helper.onLine((line) => {
    heardMs = performance.now();
    if (line.event === "refused") refused.push(refusedLine.parse(line));
    if (line.event === "progress") onProgress?.(progressLine.parse(line).bytes);
    if (line.event !== "round" && line.event !== "sealed") return;
    const wire = wireLine.parse(line);
    wireBytes = wire.wireBytes;
    if (wire.linkMs !== undefined && wire.linkMs > 0) linkBytesPerSecond = (wireBytes / wire.linkMs) * 1000;
  });
  const close = () => {
    helper.kill();
    carrier.close();
    for (const path of [held.socket, held.file]) rmSync(path, { force: true });
  };
  try {
    await carrier.start(helper);
    await withDeadline("the tracker of memory to be ready", 10_000, () => helper.next("ready"), signal);
  } catch (caught) {
    close();
    throw caught;
  }
  helper.letGo();
  async function pass(kind: "round" | "fresh", passSignal: AbortSignal, onBytes?: (bytes: number) => void): Promise<Round> {
    const startedAtMs = performance.timeOrigin + performance.now();
    heardMs = performance.now();
    onProgress = onBytes;
    const done = helper.next("round");
    helper.send(kind);
    const watch = setInterval(() => {
      if (performance.now() - heardMs > stalledMs) helper.kill();
    }, 1000);
    const abort = () => close();
    passSignal.addEventListener("abort", abort, { once: true });
    try {
      const { ms, bytes, ...rest } = roundLine.parse(await done);
      clearInterval(watch); // a slow link may need longer for what is in all the buffers
      if (carrier.arrived === undefined) return { ...rest, startedAtMs, durationMs: ms, sentBytes: bytes };
      const heard = new AbortController();
      const patience = sleep(stalledMs, heard.signal).catch(() => undefined);
      await Promise.race([carrier.arrived(rest.number), helper.ended, patience]).finally(() => heard.abort());
      const problem = helper.problem();
      if (problem !== undefined) throw fault("TRANSFER_FAILED", problem);
      return { ...rest, startedAtMs, durationMs: performance.timeOrigin + performance.now() - startedAtMs, sentBytes: bytes };
    } finally {
      onProgress = undefined;
      clearInterval(watch);
      passSignal.removeEventListener("abort", abort);
    }
  }
  return {
    pid: helper.pid,
    held,
    round: (passSignal, onBytes) => pass("round", passSignal, onBytes),
    freshen: (passSignal) => pass("fresh", passSignal),
    async frozen() {
      helper.send("frozen");
      return frozenLine.parse(await withDeadline("the tracker's last look", frozenDeadlineMs, () => helper.next("frozen")));
    },
    async sealed() {
      const line = await withDeadline("the last pages to leave", 60_000, () => helper.next("sealed"));
      if (!isStanding)
        await carrier.sent().catch((cause: unknown) => {
          throw fault("TRANSFER_FAILED", "the link broke while the last pages were sent", { cause });
        });
      return { ...sealedLine.parse(line), spaces: helper.take("space").map((space) => spaceLine.parse(space)) };
    },
    async look(lookSignal) {
      helper.send("look");
      return rateLine.parse(await withDeadline("the tracker's look", 10_000, () => helper.next("rate"), lookSignal)).bytesPerSecond;
    },
    refused: () => refused,
    wireBytes: () => carrier.wireBytes() ?? wireBytes,
    linkBytesPerSecond: () => linkBytesPerSecond,
    problem: helper.problem,
    close,
  };
}
