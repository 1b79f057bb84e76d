// For tests: a whole control plane with two agents that answer every command of a move, a metadata service that announces what a drill asks
// for, and a client that reports what it saw. Only the processes are missing.
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Command, CommandOutcome, type CommandResultSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import { SignalKind } from "@aether/contract/gen/aether/v2/signal_pb";
import { sleep } from "@aether/kit";
import type { IdentityMaterial } from "@aether/kit/identity";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import type { CoreConfigInput } from "../config.ts";
import { type ConnectedAgent, type CoreUnderTest, connectAgent, enrol, startCore } from "./core-under-test.ts";

type Answer = Omit<MessageInitShape<typeof CommandResultSchema>, "commandId" | "$typeName" | "$unknown" | "phases">;

export interface MovingCloud {
  readonly core: CoreUnderTest;
  readonly agents: ReadonlyMap<string, ConnectedAgent>;
  /** What the metadata service announces now. */
  /** So many of a workload's newest snapshots are damaged. */
  readonly damaged: Map<string, number>;
  readonly announced: ReadonlyMap<string, string>;
  /** Sends one report of the client of this workload; `over` is what it saw otherwise. */
  report(workload: string, over?: Record<string, unknown>): Promise<number>;
  /** One more node. */
  join(nodeId: string): Promise<void>;
  /** The node is not heard any more. */
  cut(nodeId: string): Promise<void>;
  /** The node is given notice for so soon, and is not heard any more. */
  lose(nodeId: string, afterSeconds: number): void;
  /** The control plane stops and starts again; its agents come back. */
  restartCore(): Promise<void>;
  stop(): Promise<void>;
}

const manifest = {
  images: [{ name: "core-1.img", bytes: 4096n, sha256: "aa" }],
  memoryBytes: 210n << 20n,
  pageCount: 53_760n,
  filesDigest: "ff",
  fileCount: 12n,
  processCount: 1,
  processDigest: "pp",
};

/** @param stepMs how long an agent takes for each step. */
export async function startMovingCloud(
  options: {
    stepMs?: number;
    config?: Partial<CoreConfigInput>;
    /** Answers otherwise than usual where it answers at all; "nothing": the node is still at it. */
    answer?: (command: Command) => Answer | "nothing" | undefined;
  } = {},
): Promise<MovingCloud> {
  const { stepMs = 1 } = options;
  const socketDir = await mkdtemp(join(tmpdir(), "aether-lab-"));
  const announced = new Map<string, string>();
  const agents = new Map<string, ConnectedAgent>();
  let sequence = 0n;

  const tell = (nodeId: string, kind: SignalKind, afterSeconds = 120) =>
    agents.get(nodeId)?.say({
      case: "signal",
      value: {
        sequence: ++sequence,
        kind,
        observedAt: timestampNow(),
        source: "imds",
        ...(kind === SignalKind.NOTICE ? { action: "terminate", effectiveAt: timestampFromMs(Date.now() + afterSeconds * 1000) } : {}),
      },
    });
  const lab = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.method === "POST") {
      const { nodeId, kind, afterSeconds } = JSON.parse(Buffer.concat(chunks).toString()) as {
        nodeId: string;
        kind: string;
        afterSeconds: number;
      };
      announced.set(nodeId, kind);
      tell(nodeId, kind === "notice" ? SignalKind.NOTICE : SignalKind.REBALANCE, afterSeconds);
    } else {
      const nodeId = decodeURIComponent(request.url?.split("/").at(-1) ?? "");
      if (announced.delete(nodeId)) tell(nodeId, SignalKind.WITHDRAWN);
    }
    response.end("{}");
  });
  const socketPath = join(socketDir, "lab.sock");
  await new Promise<void>((resolve) => lab.listen(socketPath, resolve));
  const core = await startCore({ ...options.config, drill: { injector: socketPath } });

  const damaged = new Map<string, number>();
  const identities = new Map<string, IdentityMaterial>();
  async function connect(nodeId: string): Promise<void> {
    const identity = identities.get(nodeId) ?? (await enrol(core, nodeId));
    identities.set(nodeId, identity);
    const answer = async (command: Command): Promise<Answer | undefined> => {
      await sleep(stepMs);
      const { action } = command;
      const left = damaged.get(command.workload) ?? 0;
      if (action.case === "restoreSnapshot" && left > 0) {
        damaged.set(command.workload, left - 1);
        return { outcome: CommandOutcome.FAILED, error: { code: "SNAPSHOT_CORRUPT", message: "a chunk of it is missing" } };
      }
      const own = options.answer?.(command) ?? answerOf(command);
      return own === "nothing" ? undefined : own;
    };
    const agent = await connectAgent(core, identity, answer, [], undefined, factsOf(nodeId));
    agents.set(nodeId, agent);
    beat(nodeId);
  }
  function beat(nodeId: string): void {
    const usage = { cpuFraction: 0.12, memoryUsedBytes: 2n << 30n, memoryAvailableBytes: 6n << 30n };
    agents.get(nodeId)?.say({ case: "heartbeat", value: { agentTime: timestampNow(), usage, workloads: [] } });
  }
  for (const nodeId of ["n1", "n2"]) await connect(nodeId);
  const heart = setInterval(() => {
    for (const nodeId of agents.keys()) beat(nodeId);
  }, 1_000);

  return {
    core,
    agents,
    announced,
    damaged,
    async report(workload, over = {}) {
      const untilMs = Date.now();
      const body = {
        workload,
        since: new Date(untilMs - 1000).toISOString(),
        until: new Date(untilMs).toISOString(),
        requestCount: 900,
        latencyP50Ms: 0.3,
        latencyP99Ms: 1.1,
        sliceMs: 100,
        worstLatencyMs: Array.from({ length: 10 }, (_, i) => 0.5 + (i % 3) / 2),
        ...over,
      };
      return (await core.call("POST", `/api/v2/oracles/${workload}:report`, body)).status;
    },
    join: connect,
    async cut(nodeId) {
      const agent = agents.get(nodeId);
      agents.delete(nodeId);
      await agent?.disconnect();
    },
    lose(nodeId, afterSeconds) {
      tell(nodeId, SignalKind.NOTICE, afterSeconds);
      const agent = agents.get(nodeId);
      agents.delete(nodeId);
      setTimeout(() => void agent?.disconnect(), 300);
    },
    async restartCore() {
      for (const agent of agents.values()) await agent.disconnect();
      await core.restart();
      for (const nodeId of agents.keys()) await connect(nodeId);
    },
    async stop() {
      clearInterval(heart);
      for (const agent of agents.values()) await agent.disconnect();
      await core.stop();
      await new Promise((resolve) => lab.close(resolve));
      await rm(socketDir, { recursive: true, force: true });
    },
  };
}

/** As a node of the local cloud says: each in a zone of its own. */
const factsOf = (nodeId: string) => ({
  hostname: nodeId,
  memoryBytes: 8n << 30n,
  bootId: "boot",
  capabilities: { runcVersion: "1.1.5", criu: { available: true, version: "4.2.1" }, supportsChaos: true },
  cloud: {
    provider: "aws",
    region: "us-east-1",
    zone: nodeId === "n1" ? "us-east-1a" : "us-east-1b",
    instanceType: "m6i.large",
    lifecycle: "spot",
  },
});

function answerOf(command: Command): Answer {
  const ok = (facts?: Answer["facts"]): Answer => ({ outcome: CommandOutcome.OK, ...(facts === undefined ? {} : { facts }) });
  switch (command.action.case) {
    case "startWorkload":
      return ok({ case: "start", value: { pid: 4711n, address: command.action.value.spec?.address ?? "" } });
    case "preflight":
      return ok({
        case: "preflight",
        value: { chosenMode: MigrationMode.POST_COPY, modeReason: "the kernel has userfaultfd", memoryBytes: manifest.memoryBytes },
      });
    case "prepare":
      return ok({ case: "prepare", value: { linkAddress: "10.77.0.12", linkPort: 4000, holdMethod: "queue" } });
    case "freeze":
      return ok({ case: "freeze", value: { manifest, frozenAt: timestampNow() } });
    case "restore":
      return ok({ case: "restore", value: { manifest, areImagesEqual: true } });
    case "resume":
      return ok({
        case: "resume",
        value: {
          health: HealthState.PASSING,
          freezeMs: 61.5,
          network: { packetsHeld: 3, packetsReplayed: 3, holdMethod: "queue" },
          resumedAt: timestampNow(),
        },
      });
    case "createSnapshot":
      return ok({ case: "snapshot", value: { manifest, bytes: 4096n, freezeMs: 80 } });
    // As the next agent answers for the one that was killed.
    case "crash":
      return {
        outcome: CommandOutcome.INTERRUPTED,
        error: { code: "UNAVAILABLE", message: "the agent was restarted while it was carried out" },
      };
    default:
      return ok();
  }
}
