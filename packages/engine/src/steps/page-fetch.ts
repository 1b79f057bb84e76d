// Post-copy, target: criu's lazy-pages daemon, and the way of its pages from the source. From the resume on the workload needs both, so they are processes that outlive this one
// (native/src/memory/fetch.c) and leave in a file what became of it. Where a native program has no TLS, or the source is older, pages go through the agents.
import { access, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Fault, fault } from "@aether/contract";
import { readTextIfThere, sleep, until, withDeadline } from "@aether/kit";
import { z } from "zod";
import { behindPrivateRun } from "../checkpoint/criu.ts";
import { findCriu } from "../checkpoint/leftovers.ts";
import type { MigrationRef, Peer } from "../engine.ts";
import { type Host, migrationDir } from "../host.ts";
import { isRefusal, type Link } from "../link/link.ts";
import { helperToHelper } from "../memory/carrier.ts";
import { type Helper, startHelper } from "../memory/helper.ts";
import { carryPages } from "../memory/page-tunnel.ts";
import { freezerDir } from "../runtime/cgroup.ts";
import { readProc } from "../runtime/process.ts";
import { imagesDir } from "./journal.ts";

const statusFile = z.union([z.object({ event: z.literal("fetched") }), z.object({ event: z.literal("failed"), reason: z.string() })]);

const fetchedDeadlineMs = 600_000;
/** A source that cannot be reached may come back; one that answers no will not. */
const reconnectForMs = 60_000;
const reconnectEveryMs = 500;
const handedOverDeadlineMs = 60_000;
const lookEveryMs = 20;
/** Where an agent leaves the word, it does so a moment after the daemon's end. */
const wordWithinLooks = 25;

export interface PageFetch {
  /** Resolves when the daemon waits for criu restore. The images must be there. Once. */
  listen(signal: AbortSignal): Promise<void>;
  /** Every process was handed over: from now on it goes on without us. Rejects with TRANSFER_FAILED where it has ended. */
  begun(signal: AbortSignal): Promise<void>;
  /** The same, but rejects with TRANSFER_FAILED as soon as the source is lost: criu restore may need a page, and would wait for it to its own deadline. */
  unlessLost<T>(work: Promise<T>): Promise<T>;
  /** After `listen`: who goes on. */
  pid(): number;
  /** The workload must not need it any more. */
  kill(): void;
}

const statusPath = (host: Host, migrationId: string) => join(migrationDir(host, migrationId), "pages.json");

/** Opens the way to the source: best as soon as its address is known, since that takes some milliseconds. */
export async function openPageFetch(host: Host, link: Link, ref: MigrationRef, peer: Peer, signal: AbortSignal): Promise<PageFetch> {
  await mkdir(migrationDir(host, ref.migrationId), { recursive: true });
  await rm(statusPath(host, ref.migrationId), { force: true });
  if (host.helperTls !== undefined) {
    const { helper, fetch } = await startFetch(host, ref, ["--handed", "1"]);
    try {
      await helperToHelper(host, link, ref.migrationId, peer, signal).start(helper);
      const keeping = keepConnected(host, link, ref, peer, helper);
      keeping.catch((caught: unknown) => host.options.log.error({ err: caught }, "pages.lost"));
      return fetch;
    } catch (caught) {
      helper.kill();
      signal.throwIfAborted();
      host.options.log.warn({ peer: peer.nodeId, reason: Fault.from(caught).message }, "pages.through_agents");
    }
  }
  const { helper, fetch } = await startFetch(host, ref, []);
  const carrying = carryPages(link, peer, ref.migrationId, helper.data, AbortSignal.timeout(fetchedDeadlineMs + 300_000));
  carrying.catch((caught: unknown) => host.options.log.error({ reason: Fault.from(caught).message }, "pages.lost"));
  return fetch;
}

async function startFetch(host: Host, ref: MigrationRef, options: readonly string[]): Promise<{ helper: Helper; fetch: PageFetch }> {
  const procs = join(await freezerDir(host, ref.workload), "cgroup.procs");
  const helper = startHelper(host, [
    ...["pages-fetch", "--status", statusPath(host, ref.migrationId), "--procs", procs, "--data-fd", "3", ...options, "--"],
    ...(await daemonCommand(host, ref)),
  ]);
  helper.letGo();
  const fetch: PageFetch = {
    async listen(waiting) {
      helper.send("go");
      await untilListening(host, ref, waiting);
    },
    async begun(waiting) {
      await withDeadline("criu restore to hand its processes over", handedOverDeadlineMs, () => helper.next("fetching"), waiting);
    },
    unlessLost: (work) => new Promise((resolve, reject) => [work.then(resolve, reject), helper.next("fetched").catch(reject)]),
    pid: () => helper.pid,
    kill: helper.kill,
  };
  return { helper, fetch };
}

/** Another connection whenever one is lost, or who served it was killed: nothing of what was on its way is missing then. Resolves with the helper's end. */
async function keepConnected(host: Host, link: Link, ref: MigrationRef, peer: Peer, helper: Helper): Promise<void> {
  let loss = Promise.withResolvers<void>();
  let attempt = new AbortController();
  helper.onLine(({ event }) => {
    if (event !== "lost") return;
    attempt.abort(fault("TRANSFER_FAILED", "who took the connection has ended"));
    loss.resolve();
  });
  const ended = helper.ended.then(() => true);
  const about = { migrationId: ref.migrationId, peer: peer.nodeId };
  while (!(await Promise.race([loss.promise.then(() => false), ended]))) {
    const endMs = performance.now() + reconnectForMs;
    let problem: Fault | undefined;
    do {
      if (problem !== undefined) await sleep(reconnectEveryMs);
      loss = Promise.withResolvers();
      attempt = new AbortController();
      problem = await helperToHelper(host, link, ref.migrationId, peer, attempt.signal)
        .start(helper)
        .then(() => undefined, Fault.from);
      host.options.log.warn({ ...about, reason: problem?.message }, problem === undefined ? "pages.reconnected" : "pages.connection_lost");
    } while (problem !== undefined && !isRefusal(problem) && helper.problem() === undefined && performance.now() < endMs);
    if (problem !== undefined) helper.data.end(); // nothing more is offered
  }
}

/** It asks for pages on the descriptor whose number comes in the place of @PAGES, and connects to nobody. */
async function daemonCommand(host: Host, ref: MigrationRef): Promise<string[]> {
  const images = imagesDir(host, ref.migrationId);
  const server = ["--page-server", "--ps-socket", "@PAGES"];
  return [...(await behindPrivateRun(host)), "lazy-pages", "-D", images, "-v2", "-o", "lazy-pages.log", ...server];
}

async function untilListening(host: Host, ref: MigrationRef, signal: AbortSignal): Promise<void> {
  const socket = join(imagesDir(host, ref.migrationId), "lazy-pages.socket");
  const isThere = () =>
    access(socket).then(
      () => true,
      () => undefined,
    );
  await until("the lazy-pages daemon to listen", 2, 10_000, isThere, signal);
}

/**
 * Who still fetches pages of this migration: this process, or one that has outlived it, since there are several and each may be killed. All name the migration's folder, which another
 * one that has the number by now does not.
 */
export async function whoFetches(host: Host, migrationId: string, pid: number): Promise<number | undefined> {
  const words = ((await readProc(pid, "cmdline")) ?? "").split("\0");
  if (words.includes("lazy-pages") && words.includes(imagesDir(host, migrationId))) return pid;
  return (await findCriu(imagesDir(host, migrationId))).find((one) => one.words.includes("lazy-pages"))?.pid;
}

/** Until every page is here, whoever began it. Throws TRANSFER_FAILED where some are missing for ever. */
export async function awaitFetched(host: Host, migrationId: string, pagesPid: number, signal: AbortSignal): Promise<void> {
  let looksLeft = wordWithinLooks;
  let pid = pagesPid;
  const done = await until(
    "every page to arrive",
    lookEveryMs,
    fetchedDeadlineMs,
    async () => {
      const found = await whoFetches(host, migrationId, pid);
      const text = await readTextIfThere(statusPath(host, migrationId));
      if (text !== undefined) return statusFile.parse(JSON.parse(text));
      if (found !== undefined) pid = found;
      if (found !== undefined || looksLeft-- > 0) return undefined;
      return { event: "failed", reason: "who fetched them has ended without a word" } as const;
    },
    signal,
  );
  if (done.event === "failed") throw fault("TRANSFER_FAILED", `pages are missing: ${done.reason}`);
}
