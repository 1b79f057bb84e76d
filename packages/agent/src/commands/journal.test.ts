import { copyFile, mkdir, mkdtemp, readdir, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CommandOutcome, CommandResultSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { silentLogger } from "@aether/kit";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type CommandHead, type CommandJournal, openCommandJournal } from "./journal.ts";

let root: string;
let count = 0;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "aether-agent-journal-"));
});
afterEach(() => rm(root, { recursive: true }));

const open = (dir: string, rewriteBytes = 4_000, keepAcknowledged = 5) =>
  openCommandJournal({ dir, log: silentLogger, rewriteBytes, keepAcknowledged });
const head = (id: string, epoch = 1, fence = 1): CommandHead => ({
  id,
  action: "freeze",
  workload: "db",
  epoch,
  migrationId: "mig-1",
  fence,
  term: 3,
});
const result = (commandId: string, outcome = CommandOutcome.OK) => create(CommandResultSchema, { commandId, outcome });
/** What a kill -9 leaves: the files as they are now. */
const killed = async (dir: string): Promise<string> => {
  const to = join(root, `copy-${++count}`);
  await mkdir(to);
  for (const name of await readdir(dir)) await copyFile(join(dir, name), join(to, name));
  return to;
};

describe("the command journal", () => {
  it("knows after a kill what was begun, what was finished and what was acknowledged", async () => {
    const dir = join(root, "a");
    const journal = await open(dir);
    await journal.begin(head("cmd-1"));
    await journal.begin(head("cmd-2", 3, 7));
    await journal.finish(head("cmd-2", 3, 7), result("cmd-2"));
    await journal.begin(head("cmd-3", 2, 2));
    await journal.finish(head("cmd-3", 2, 2), result("cmd-3"));
    await journal.ack("cmd-3");
    const again = await open(await killed(dir));
    expect(again.running().map(({ id }) => id)).toEqual(["cmd-1"]);
    expect(again.unacknowledged().map(({ commandId }) => commandId)).toEqual(["cmd-2"]);
    expect(again.find("cmd-3")).toMatchObject({ state: "finished", isAcked: true, result: { outcome: CommandOutcome.OK } });
    expect(again.find("cmd-4")).toBeUndefined();
    expect([again.highestEpoch("db"), again.highestFence("mig-1"), again.highestFence("mig-2")]).toEqual([3, 7, 0]);
    await again.close();
    await journal.close();
  });

  it("forgets old acknowledged results but never an epoch, and its file stays small", async () => {
    const dir = join(root, "a");
    const journal = await open(dir);
    for (let i = 1; i <= 300; i++) {
      await journal.begin(head(`cmd-${i}`, i));
      await journal.finish(head(`cmd-${i}`, i), result(`cmd-${i}`));
      await journal.ack(`cmd-${i}`);
    }
    expect((await stat(join(dir, "commands.log"))).size).toBeLessThan(10_000);
    await journal.close();
    const again = await open(dir);
    expect(again.find("cmd-300")?.state).toBe("finished");
    expect(again.find("cmd-1")).toBeUndefined();
    expect(again.epochs()).toEqual({ db: 300 });
    await again.close();
  });

  it("goes on in its old file where there is no room for a new one: what it has kept is no failure", async () => {
    const dir = join(root, "a");
    const journal = await open(dir, 500);
    await mkdir(join(dir, "commands.log.new")); // nothing can be written there
    for (let i = 0; i < 20; i++) await journal.begin(head(`cmd-${i}`));
    expect(journal.running()).toHaveLength(20);
    await rm(join(dir, "commands.log.new"), { recursive: true });
    for (let i = 0; i < 40; i++) await journal.finish(head(`cmd-${i % 20}`), result(`cmd-${i % 20}`));
    await journal.close();
    const again = await open(dir);
    expect(again.unacknowledged()).toHaveLength(20);
    expect(again.running()).toEqual([]);
    await again.close();
  });

  it("killed at any point of any history, at any byte of the last write, agrees with what had returned", async () => {
    type Step = { do: "begin" | "finish" | "ack" | "kill"; which: number; cut: number };
    const step = fc.record<Step>({
      do: fc.constantFrom("begin", "begin", "finish", "finish", "ack", "kill"),
      which: fc.nat(5),
      cut: fc.nat(400),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        let dir = join(root, `p${++count}`);
        let journal: CommandJournal = await open(dir, 500, 1_000);
        const model = new Map<string, "running" | "finished">();
        let epoch = 0;
        for (const [index, { do: what, which, cut }] of steps.entries()) {
          const id = `cmd-${which}`;
          if (what === "begin" && !model.has(id)) {
            await journal.begin(head(id, ++epoch));
            model.set(id, "running");
          } else if (what === "finish" && model.get(id) === "running") {
            await journal.finish(head(id, epoch), result(id));
            model.set(id, "finished");
          } else if (what === "ack") await journal.ack(id);
          else if (what === "kill") {
            const before = await killed(dir);
            // A write that had not returned: torn at any byte, it must leave all that had returned.
            const lost = `cmd-lost-${index}`;
            const { size, ino } = await stat(join(dir, "commands.log"));
            await journal.begin(head(lost, epoch + 100));
            const after = await killed(dir);
            const { size: grown, ino: nowIno } = await stat(join(dir, "commands.log"));
            const isRewritten = nowIno !== ino;
            if (!isRewritten) await truncate(join(after, "commands.log"), Math.max(size, Math.min(grown - 1, size + cut)));
            await journal.close();
            dir = isRewritten ? before : after;
            journal = await open(dir, 500, 1_000);
            expect(journal.find(lost)).toBeUndefined();
          }
          for (const [known, state] of model) expect(journal.find(known)?.state).toBe(state);
          expect(journal.highestEpoch("db")).toBe(epoch);
        }
        await journal.close();
      }),
      { numRuns: 40 },
    );
  });
});
