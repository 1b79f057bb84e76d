// Target: the copies that a source sends, and the daemon that puts them in place while criu restores and after (native/src/memory/target.c).
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { readTextIfThere, until, withDeadline } from "@aether/kit";
import { z } from "zod";
import { type Host, migrationDir } from "../host.ts";
import type { Link, LinkHandler } from "../link/link.ts";
import { cgroupDirs, freezerDir } from "../runtime/cgroup.ts";
import { readProc } from "../runtime/process.ts";
import { inviteHelper, markOf, tellMarks } from "./carrier.ts";
import { startHelper } from "./helper.ts";
import { createPasses } from "./passes.ts";
import { type Transport, takePages } from "./transport.ts";

const count = z.number().nonnegative();
const spaceLine = z.object({ space: count, pages: count, digest: z.string() });
const placedLine = z.object({ number: count, isDeclined: z.boolean() });
const sealedLine = z.object({ keptPages: count, receivedPages: count });
const restoredLine = z.object({ sharedPages: count, sharedMs: count, inheritedPages: count.default(0), hugePages: count.default(0) });
const filledLine = z.object({
  event: z.literal("filled"),
  ms: count,
  filledPages: count,
  faults: count,
  /** Spent on answering them; older helpers do not say. */
  faultMs: count.default(0),
  zeroFaults: count,
  worstFaultMs: count,
  /** That were in place before anything ran. */
  inheritedPages: count.default(0),
  /** Of 2 MiB, in which these are. */
  hugePages: count.default(0),
});
const statusFile = z.union([filledLine, z.object({ event: z.literal("failed"), reason: z.string() })]);

/** How the filling went after the restore. */
export type Filled = z.infer<typeof filledLine>;

export interface Arrival {
  readonly pid: number;
  /** Takes the stream of a source, and tells it which passes are here. Once. */
  take(connection: Pick<Parameters<LinkHandler>[0], "socket" | "reader">, transport: Transport): Promise<void>;
  /** All that the source sent up to the end of this pass is here. Also when it has ended: who needs it learns that by itself. */
  arrived(pass: number): Promise<void>;
  /** A criu is there whose tasks will inherit it. Also when this has ended. */
  standing(): Promise<void>;
  /** The source says that the workload hardly writes: whether its memory will be inherited is seen later. */
  expectIdle(): void;
  /** No task will inherit it as things are: what the criu that stands has of it is of no use. Never, where nothing speaks against it. */
  declined(): Promise<void>;
  /** The same as `arrived`, and written into the criu that stands, or will in a moment; at once where its tasks cannot inherit it. */
  placed(pass: number): Promise<void>;
  /** Lets the source's helper send to ours, without this process. Throws where ours refused it: the source then comes with `take`. */
  invite(link: Link, sourceNodeId: string, connection: Pick<Parameters<LinkHandler>[0], "socket">): Promise<void>;
  /** All is here, and its digest is the source's. Rejects with the reason where not. */
  sealed(signal: AbortSignal): Promise<{ readonly keptPages: number; readonly spaces: readonly z.infer<typeof spaceLine>[] }>;
  /** criu has handed its processes over, every mapping can take its pages, and shared memory is in place. */
  restored(signal: AbortSignal): Promise<z.infer<typeof restoredLine>>;
  /** Every page is in place. */
  filled(signal: AbortSignal): Promise<Filled>;
  kill(): void;
}

/** Clients wait. It takes some tenths of a second; but criu hears no more of a task's end when it has let the network go (its ignore_kids), and would wait for one that was killed then. */
const restoredDeadlineMs = 10_000;
const filledDeadlineMs = 600_000;

const statusPath = (host: Host, migrationId: string) => join(migrationDir(host, migrationId), "memory.json");

/** Where it waits for a criu whose tasks inherit memory; in the folder of the images. */
export const inheritSocket = "inherit.socket";

/** Starts it for the images in `images`, which must be there. It ends with this process until the restore; afterwards when it has done its work. */
export async function openArrival(
  host: Host,
  { migrationId, workload }: { readonly migrationId: string; readonly workload: string },
  images: string,
  signal: AbortSignal,
): Promise<Arrival> {
  const procs = join(await freezerDir(host, workload), "cgroup.procs");
  const files = ["--images", images, "--status", statusPath(host, migrationId), "--procs", procs, ...(await chargeOf(host, workload))];
  const helper = startHelper(host, ["memory-target", ...files, "--data-fd", "3"]);
  try {
    await withDeadline("the keeper of memory to be ready", 10_000, () => helper.next("ready"), signal);
  } catch (caught) {
    helper.kill();
    throw caught;
  }
  helper.letGo();
  const here = createPasses();
  const placed = createPasses();
  const stands = Promise.withResolvers<void>();
  const declined = Promise.withResolvers<void>();
  helper.onLine((line) => {
    if (line.event === "standing") {
      stands.resolve();
      placed.reach(-1); // into this one, whatever was said of one before
    }
    if (line.event === "declined") declined.resolve();
    if (line.event === "mark") here.reach(markOf(line));
    if (line.event !== "placed") return;
    const { number, isDeclined } = placedLine.parse(line);
    placed.reach(isDeclined ? Number.POSITIVE_INFINITY : number);
  });
  if (!host.criuInherits) placed.reach(Number.POSITIVE_INFINITY);
  helper.ended.then(() => {
    here.reach(Number.POSITIVE_INFINITY);
    placed.reach(Number.POSITIVE_INFINITY);
    stands.resolve();
  });
  return {
    pid: helper.pid,
    arrived: here.reached,
    standing: () => stands.promise,
    expectIdle: () => helper.send("idle"),
    declined: () => declined.promise,
    placed: placed.reached,
    async take({ socket, reader }, transport) {
      await reader.detach();
      tellMarks(helper, socket);
      helper.ended.then(() => socket.destroy()); // the source hears of it at once, not with its next page
      await takePages(socket, helper.data, transport);
    },
    invite: (link, sourceNodeId, connection) => inviteHelper(host, link, helper, sourceNodeId, connection),
    async sealed(waiting) {
      const line = await withDeadline("the last pages to arrive", 60_000, () => helper.next("sealed"), waiting);
      return { keptPages: sealedLine.parse(line).keptPages, spaces: helper.take("space").map((space) => spaceLine.parse(space)) };
    },
    async restored(waiting) {
      const line = await withDeadline(
        "the restored processes to be handed over",
        restoredDeadlineMs,
        () => helper.next("restored"),
        waiting,
      );
      return restoredLine.parse(line);
    },
    async filled(waiting) {
      return filledLine.parse(await withDeadline("every page to be in place", filledDeadlineMs, () => helper.next("filled"), waiting));
    },
    kill: helper.kill,
  };
}

/** Of version 2, else of version 1's memory hierarchy: shared memory is put in place by us and paid for by the workload. */
async function chargeOf(host: Host, workload: string): Promise<string[]> {
  const dirs = await cgroupDirs(host, workload);
  const paying = dirs.find((dir) => ["memory.max", "memory.limit_in_bytes"].some((name) => existsSync(join(dir, name))));
  return paying === undefined ? [] : ["--charge", join(paying, "cgroup.procs")];
}

/** Waits for a filling that an earlier life of this process began. Throws TRANSFER_FAILED where pages are missing. */
export async function awaitFilled(host: Host, migrationId: string, signal: AbortSignal): Promise<Filled> {
  const done = await until(
    "every page to be in place",
    50,
    filledDeadlineMs,
    async () => {
      const pids = await arrivalPids(host, migrationId); // before the file: it is written before they end
      const text = await readTextIfThere(statusPath(host, migrationId));
      if (text !== undefined) return statusFile.parse(JSON.parse(text));
      return pids.length > 0 ? undefined : ({ event: "failed", reason: "it ended without a word" } as const);
    },
    signal,
  );
  if (done.event === "failed") throw fault("TRANSFER_FAILED", `pages are missing: ${done.reason}`);
  return done;
}

/** The processes that put this migration's memory in place, whoever started them: one, or two since the restore. */
export async function arrivalPids(host: Host, migrationId: string): Promise<number[]> {
  const path = statusPath(host, migrationId);
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const words = await Promise.all(pids.map(async (pid) => ((await readProc(pid, "cmdline")) ?? "").split("\0")));
  return pids.filter((_, index) => words[index]?.[1] === "memory-target" && words[index].includes(path));
}
