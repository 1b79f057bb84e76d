import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Command, ReflexPlanSchema, SignedBytesSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { silentLogger, sleep } from "@aether/kit";
import { create, toBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openPlanFile } from "./plan-file.ts";
import { reflexCommands, startReflex } from "./reflex.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-reflex-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const step = (workload: string, epoch: number, priority = 0) => ({
  workload,
  epoch: BigInt(epoch),
  priority,
  createSnapshot: { snapshotId: `snap-${workload}` },
});
const plan = (version = 1, over: { nodeId?: string; validMs?: number } = {}) =>
  create(ReflexPlanSchema, {
    nodeId: over.nodeId ?? "n1",
    version: BigInt(version),
    validFor: durationFromMs(over.validMs ?? 60_000),
    steps: [step("db", 3), step("web", 1, 9)],
  });
const signed = (of: ReturnType<typeof plan>) =>
  create(SignedBytesSchema, { purpose: "reflex-plan", content: toBinary(ReflexPlanSchema, of) });
/** The signature itself is kit's; here it is only who is asked. */
const openSigned = ({ content }: { content: Uint8Array }) => content;

describe("the plan on disk", () => {
  it("survives a restart, and is over when its time is, by the clock since the boot", async () => {
    let seconds = 100;
    const open = () => openPlanFile({ stateDir: dir, nodeId: "n1", openSigned, uptimeSeconds: () => seconds });
    const first = await open();
    await first.keep(signed(plan(2)));
    await first.keep(signed(plan(1)));
    expect(first.current()?.version).toBe(2n);
    seconds += 59;
    expect((await open()).current()?.version).toBe(2n);
    seconds += 2;
    expect((await open()).current()).toBeUndefined();
  });

  it("is nothing when it is damaged, of another boot, not signed, or for another node", async () => {
    const open = (over = {}) => openPlanFile({ stateDir: dir, nodeId: "n1", openSigned, uptimeSeconds: () => 5, ...over });
    const file = await open();
    await expect(file.keep(signed(plan(1, { nodeId: "n2" })))).rejects.toThrow("n2");
    await file.keep(signed(plan()));
    const refusing = await open({
      openSigned: () => {
        throw new Error("forged");
      },
    });
    expect(refusing.current()).toBeUndefined();
    const path = join(dir, "reflex-plan.json");
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replace(/"bootId":"[^"]*"/, '"bootId":"another"'));
    expect((await open()).current()).toBeUndefined();
    await writeFile(path, "{");
    expect((await open()).current()).toBeUndefined();
  });
});

describe("the reflex", () => {
  it("keeps what runs here in the epoch of the plan, the more important first", () => {
    const commands = reflexCommands(
      plan(),
      new Map([
        ["db", 3],
        ["web", 1],
      ]),
      90_000,
    );
    expect(commands.map(({ id, epoch, action }) => [id, epoch, action.case])).toEqual([
      ["reflex-snap-web", 1n, "createSnapshot"],
      ["reflex-snap-db", 3n, "createSnapshot"],
    ]);
    expect(reflexCommands(plan(), new Map([["db", 4]]), 90_000)).toEqual([]);
  });

  it("acts once, only after a notice that nobody could be asked about for a while", async () => {
    const state = { isConnected: true, notice: undefined as { effectiveAtMs: number } | undefined };
    const taken: Command[] = [];
    const reflex = startReflex({
      plans: { current: () => plan() },
      isConnected: () => state.isConnected,
      notice: () => state.notice,
      running: () => new Map([["db", 3]]),
      take: (command) => taken.push(command),
      log: silentLogger,
      patienceMs: 300,
    });
    state.isConnected = false;
    await sleep(700);
    expect(taken, "away without a notice").toEqual([]);
    state.isConnected = true;
    state.notice = { effectiveAtMs: Date.now() + 100_000 };
    await sleep(700);
    expect(taken, "a notice that core has heard").toEqual([]);
    state.isConnected = false;
    await sleep(1_200);
    expect(taken.map(({ workload }) => workload)).toEqual(["db"]);
    await reflex.stop();
  });
});
