// The dispatcher with a real journal and a scripted engine: what is done, refused, ended, repeated and answered.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { type Command, CommandOutcome, type CommandResult, CommandSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import type { Engine, MigrationRef } from "@aether/engine";
import { createLogger, silentLogger, sleep, until } from "@aether/kit";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Board } from "../workloads/board.ts";
import { createDispatcher, type Dispatcher } from "./dispatcher.ts";
import { type CommandJournal, openCommandJournal } from "./journal.ts";

type Calls = { name: string; ref: MigrationRef }[];
let dir: string;
let journal: CommandJournal;
let results: CommandResult[];
let offered: { case: string; value: unknown }[];
let outputs: { value: { chunk: Uint8Array; isEnd: boolean } }[];
let calls: Calls;
let dispatcher: Dispatcher;
/** What an engine step does; by default it is done at once. */
let behaviour: Record<string, (signal: AbortSignal) => Promise<unknown>>;

const manifest = {
  images: [],
  memoryBytes: 1,
  pageCount: 1,
  filesDigest: "f",
  fileCount: 1,
  fileBytes: 1,
  processCount: 1,
  tcpConnections: [],
  processDigest: "p",
};
const kernel = {
  source: "ebpf" as const,
  stoppedAtMs: 1,
  ranAtMs: 2,
  resetsSent: 0,
  resetsReceived: 0,
  segmentsRetransmitted: 0,
  runQueueP50Us: 1,
  runQueueP99Us: null,
  observedMs: 9,
};
const answers: Record<string, unknown> = {
  prepare: { linkAddress: "10.0.0.2", linkPort: 1, holdMethod: "queue" },
  copy: { fileBytes: 5, fileCount: 2 },
  freeze: { manifest, frozenAtMs: 1, resetsSent: 0, segmentsRetransmitted: 0, kernel },
  restore: { manifest, areImagesEqual: true },
  resume: {
    resumedAtMs: 2,
    packetsHeld: 1,
    packetsReplayed: 1,
    packetsDropped: 0,
    resetsSent: 0,
    segmentsRetransmitted: 0,
    holdMethod: "queue",
    freezeMs: 3,
    clockErrorMs: 0.5,
    kernel,
    blackoutMs: 2.5,
  },
};
const step =
  (name: string) =>
  async (...args: unknown[]) => {
    const signal = args.at(-1) as AbortSignal;
    calls.push({ name, ref: args[0] as MigrationRef });
    (args.at(-2) as { phase?: (phase: unknown) => void }).phase?.({
      name: `${name}.phase`,
      startedAtMs: 1,
      durationMs: 2,
      outcome: "ok",
      facts: {},
    });
    await behaviour[name]?.(signal);
    return answers[name];
  };
const engine = {
  runtime: { list: async () => [], onExit: () => () => undefined },
  kernel: { facts: async () => ({ ...kernel, ranAtMs: null, runQueueP99Us: 64 }) },
  source: { preflight: step("preflight"), copy: step("copy"), freeze: step("freeze"), thaw: step("thaw"), release: step("release") },
  target: {
    prepare: step("prepare"),
    restore: step("restore"),
    resume: step("resume"),
    abort: step("abort"),
    drainPages: step("drainPages"),
  },
  snapshots: { remove: step("deleteSnapshot") },
} as unknown as Engine;
const board = {
  setHealthCheck: async () => undefined,
  refresh: async () => undefined,
  forget: async () => undefined,
  hush: () => () => undefined,
  untilHealthy: async () => ({ health: HealthState.PASSING, detail: "up" }),
} as unknown as Board;

const untilAborted = (signal: AbortSignal) =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));

const make = () =>
  createDispatcher({
    ...{ engine, board, journal, nodeId: "n1", log: silentLogger, transfers: { send: async () => {}, fetch: async function* () {} } },
    session: () => ({
      sendResult: (result) => results.push(result),
      offer: (message) => offered.push(message as { case: string; value: unknown }) > 0,
      put: async (message) => outputs.push(message as { value: { chunk: Uint8Array; isEnd: boolean } }) > 0,
    }),
  });

let next = 0;
const command = (action: Command["action"]["case"], more: Partial<MessageInitShape<typeof CommandSchema>> = {}): Command => {
  const peer = { nodeId: "n2", address: "10.0.0.2", port: 1 };
  const mode = MigrationMode.STOP_AND_COPY;
  const spec = { name: "db", rootfs: "host", argv: ["redis-server"], address: "10.0.0.9" };
  const values: Record<string, object> = {
    prepare: { spec, sourceNodeId: "n2", mode },
    copy: { peer, mode },
    freeze: { peer, mode },
    restore: { mode },
    resume: { newEpoch: 2n },
    deleteSnapshot: { snapshotId: "snap-1" },
  };
  const init = { id: `cmd-${++next}`, workload: "db", epoch: 1n, migrationId: "mig-1", fence: 1n, ...more };
  return create(CommandSchema, { ...init, action: { case: action, value: values[action ?? ""] ?? {} } } as MessageInitShape<
    typeof CommandSchema
  >);
};
const resultOf = (id: string) => until(`the result of ${id}`, 5, 3_000, async () => results.find(({ commandId }) => commandId === id));

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-agent-dispatch-"));
  journal = await openCommandJournal({ dir, log: silentLogger });
  [results, offered, outputs, calls, behaviour] = [[], [], [], [], {}];
  dispatcher = make();
});
afterEach(async () => {
  await dispatcher.stop();
  await journal.close();
  await rm(dir, { recursive: true });
});

describe("the dispatcher", () => {
  it("does a command once and answers the same id with the same result, also in another process", async () => {
    const copy = command("copy");
    dispatcher.take(copy);
    dispatcher.take(copy);
    const first = await resultOf(copy.id);
    expect(first).toMatchObject({ outcome: CommandOutcome.OK, facts: { case: "copy", value: { fileBytes: 5n } } });
    expect(first.phases.map(({ name, nodeId }) => [name, nodeId])).toEqual([["copy.phase", "n1"]]);
    expect(offered.map(({ case: what }) => what)).toContain("progress");
    await journal.close();
    journal = await openCommandJournal({ dir, log: silentLogger });
    const other = make();
    results.length = 0;
    other.take(copy);
    expect(await resultOf(copy.id)).toEqual(first);
    expect(other.answer(copy.id)).toEqual(first);
    expect(calls.length).toBe(1);
  });

  it("refuses an old epoch, an old fence and an expired command, and none of them touches the engine", async () => {
    dispatcher.take(command("copy", { epoch: 5n, fence: 5n }));
    await until("the copy", 5, 3_000, async () => results[0]);
    const refused = [
      [command("thaw", { epoch: 4n, fence: 5n }), "STALE_EPOCH"],
      [command("thaw", { epoch: 5n, fence: 4n }), "STALE_FENCE"],
      [command("thaw", { epoch: 5n, fence: 5n, validFor: durationFromMs(-1) }), "COMMAND_EXPIRED"],
      [create(CommandSchema, { id: "cmd-empty", workload: "db", epoch: 5n }), "INVALID_ARGUMENT"],
    ] as const;
    for (const [each, code] of refused) {
      dispatcher.take(each);
      expect(await resultOf(each.id), code).toMatchObject({ outcome: CommandOutcome.REFUSED, error: { code } });
    }
    expect(calls.map(({ name }) => name)).toEqual(["copy"]);
  });

  it("resumes in the new epoch, repeats a resume, and refuses every command of the old epoch but those that clean up", async () => {
    const resume = command("resume");
    dispatcher.take(resume);
    expect(await resultOf(resume.id)).toMatchObject({
      facts: {
        case: "resume",
        value: {
          health: HealthState.PASSING,
          healthDetail: "up",
          kernel: { source: "ebpf", blackoutMs: 2.5, blackoutErrorMs: 0.5, runQueueP99Us: 64, resetsReceived: 0 },
        },
      },
    });
    expect(journal.highestEpoch("db")).toBe(2);
    for (const each of [command("resume"), command("drainPages", { epoch: 2n }), command("release")]) {
      dispatcher.take(each);
      expect((await resultOf(each.id)).outcome).toBe(CommandOutcome.OK);
    }
    const old = command("restore");
    dispatcher.take(old);
    expect((await resultOf(old.id)).error?.code).toBe("STALE_EPOCH");
    expect(calls.map(({ name, ref }) => [name, ref.epoch])).toEqual([
      ["resume", 1],
      ["resume", 1],
      ["drainPages", 1],
      ["release", 1],
    ]);
  });

  it("works at one command of a workload at a time, while RESTORE waits beside", async () => {
    let running = 0;
    let most = 0;
    behaviour.copy = async () => {
      most = Math.max(most, ++running);
      await sleep(20);
      running--;
    };
    behaviour.restore = untilAborted;
    const restore = command("restore");
    dispatcher.take(restore);
    const copies = [command("copy"), command("copy"), command("copy")];
    for (const each of copies) dispatcher.take(each);
    for (const each of copies) await resultOf(each.id);
    expect(most).toBe(1);
    expect(dispatcher.answer(restore.id).outcome).toBe(CommandOutcome.RUNNING);
  });

  it("ABORT ends the RESTORE that waits and the PREPARE behind it, then cleans up", async () => {
    behaviour.prepare = () => sleep(30);
    behaviour.restore = untilAborted;
    const prepare = command("prepare");
    const late = command("prepare");
    const restore = command("restore");
    const abort = command("abort", { fence: 2n });
    for (const each of [prepare, restore, late]) dispatcher.take(each);
    await until("the restore", 5, 1_000, async () => calls.find(({ name }) => name === "restore"));
    dispatcher.take(abort);
    expect((await resultOf(abort.id)).outcome).toBe(CommandOutcome.OK);
    expect((await resultOf(restore.id)).outcome).toBe(CommandOutcome.FAILED);
    expect((await resultOf(late.id)).outcome).toBe(CommandOutcome.REFUSED);
    expect(calls.map(({ name }) => name)).toEqual(["prepare", "restore", "abort"]);
    const stale = command("prepare");
    dispatcher.take(stale);
    expect((await resultOf(stale.id)).error?.code).toBe("STALE_FENCE");
  });

  it("takes back what has not begun, and ends in the middle only what does no harm", async () => {
    behaviour.copy = () => sleep(60);
    behaviour.preflight = untilAborted;
    const [running, waiting] = [command("copy"), command("freeze")];
    dispatcher.take(running);
    dispatcher.take(waiting);
    await until("the copy", 5, 1_000, async () => calls.find(({ name }) => name === "copy"));
    dispatcher.cancel(waiting.id);
    dispatcher.cancel(running.id);
    dispatcher.cancel("cmd-never");
    expect((await resultOf(running.id)).outcome).toBe(CommandOutcome.OK);
    expect(await resultOf(waiting.id)).toMatchObject({ outcome: CommandOutcome.REFUSED, error: { code: "CANCELLED" } });
    expect(calls.map(({ name }) => name)).toEqual(["copy"]);
    const preflight = command("preflight");
    dispatcher.take(preflight);
    await until("the preflight", 5, 1_000, async () => calls.find(({ name }) => name === "preflight"));
    dispatcher.cancel(preflight.id);
    expect(await resultOf(preflight.id)).toMatchObject({ outcome: CommandOutcome.FAILED, error: { code: "CANCELLED" } });
  });

  it("tells the last lines of its own log", async () => {
    createLogger({ name: "agent", file: "/dev/null", level: "info" }).info("what happened");
    const read = command("readAgentLog", { workload: "", migrationId: "", epoch: 0n });
    dispatcher.take(read);
    expect((await resultOf(read.id)).outcome).toBe(CommandOutcome.OK);
    const text = Buffer.concat(outputs.map(({ value }) => value.chunk)).toString();
    expect(text).toContain("what happened");
    expect(outputs.at(-1)?.value.isEnd).toBe(true);
  });

  it("answers with a failure of the error table, and never with the text of an unknown one", async () => {
    behaviour.copy = async () => Promise.reject(fault("TRANSFER_FAILED", "the link broke", { details: { bytes: "7" } }));
    behaviour.thaw = async () => Promise.reject(new Error("password=hunter2"));
    const [copy, thaw] = [command("copy"), command("thaw", { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" })];
    dispatcher.take(copy);
    expect(await resultOf(copy.id)).toMatchObject({
      outcome: CommandOutcome.FAILED,
      error: { code: "TRANSFER_FAILED", message: "the link broke", details: { bytes: "7" } },
    });
    dispatcher.take(thaw);
    const { error } = await resultOf(thaw.id);
    expect(error).toMatchObject({ code: "INTERNAL", traceId: "0af7651916cd43dd8448eb211c80319c" });
    expect(JSON.stringify(error)).not.toContain("hunter2");
  });

  it("says UNKNOWN of what it never saw and INTERRUPTED of what a restart cut off", async () => {
    expect(dispatcher.answer("cmd-never").outcome).toBe(CommandOutcome.UNKNOWN);
    const head = { id: "cmd-cut", action: "freeze", workload: "db", epoch: 1, migrationId: "mig-1", fence: 1, term: 0 };
    await journal.begin(head);
    await dispatcher.settleInterrupted();
    expect(dispatcher.answer("cmd-cut")).toMatchObject({ outcome: CommandOutcome.INTERRUPTED, error: { code: "STEP_INTERRUPTED" } });
    expect(journal.unacknowledged().map(({ commandId }) => commandId)).toEqual(["cmd-cut"]);
  });

  it("refuses names that would become paths", async () => {
    for (const bad of [command("thaw", { workload: "../x" }), command("thaw", { migrationId: "../../etc" })]) {
      dispatcher.take(bad);
      expect((await resultOf(bad.id)).error?.code).toBe("INVALID_ARGUMENT");
    }
    expect(calls).toEqual([]);
  });

  it("stops what runs, and what runs gets its answer", async () => {
    behaviour.restore = untilAborted;
    const restore = command("restore");
    dispatcher.take(restore);
    await until("the restore", 5, 1_000, async () => calls[0]);
    await dispatcher.stop();
    expect(journal.find(restore.id)).toMatchObject({ state: "finished", result: { outcome: CommandOutcome.FAILED } });
  });
});
