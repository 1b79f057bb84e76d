import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@aether/kit";
import { expect, it } from "vitest";
import type { AgentConfig } from "../config.ts";
import type { Spool } from "../link/spool.ts";
import { watchWhenThere } from "./watching.ts";

it("a state that cannot be read for a moment does not leave the node deaf", async () => {
  const dir = await mkdtemp(join(tmpdir(), "aether-watching-"));
  await mkdir(join(dir, "imds.json")); // reading it fails with EISDIR
  const heard: number[] = [];
  const watching = watchWhenThere(
    {
      config: { stateDir: dir, imds: { enabled: true, intervalMs: 20 } } as AgentConfig,
      imds: {
        get: async (path) => (path.endsWith("instance-action") ? '{"action":"terminate","time":"2026-01-01T00:00:00Z"}' : undefined),
        close: () => undefined,
      },
      isThere: true,
      spool: { lastSequence: () => 7, append: async (_kind: string, sequence: number) => void heard.push(sequence) } as unknown as Spool,
      log: { ...silentLogger, error: () => void rm(join(dir, "imds.json"), { recursive: true, force: true }) } as typeof silentLogger,
      intervalMs: () => 20,
      onSignal: () => undefined,
      againMs: 10,
    },
    new AbortController().signal,
  );
  await expect.poll(() => heard, { timeout: 5_000 }).toEqual([8]);
  expect(watching.announced().notice).toMatchObject({ action: "terminate" });
  await watching.stop();
  await rm(dir, { recursive: true });
});
