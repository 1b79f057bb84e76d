// For tests: a control plane's fleet with agents that follow a script, through the real sessions and the real database. An agent carries out
// a command as its script says, keeps the result like the real one, may lose its session or die in the middle, and counts what runs.
import {
  AgentConfigSchema,
  type Command,
  CommandOutcome,
  type CommandResult,
  CommandResultSchema,
  CommandSchema,
  HelloSchema,
  type SessionRequest,
  SessionRequestSchema,
  type SessionResponse,
} from "@aether/contract/gen/aether/v2/agent_pb";
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import { type NodeFacts, NodeFactsSchema, NodeUsageSchema } from "@aether/contract/gen/aether/v2/node_pb";
import type { SignalKind } from "@aether/contract/gen/aether/v2/signal_pb";
import { WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { silentLogger, sleep, systemClock } from "@aether/kit";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Db } from "../db/database.ts";
import { toColumn } from "../db/proto.ts";
import type { Events } from "../events/events.ts";
import { createCommandStore } from "../fleet/command-store.ts";
import { createGateway, type Gateway } from "../fleet/gateway.ts";
import { createOutbox, type Outbox } from "../fleet/outbox.ts";
import { createSignalIntake } from "../fleet/signal-intake.ts";

/** ok and bad ends; `dies`: the agent restarts in the middle, with or without the effect; `silent`: the session is lost, the effect is done. */
export type Fate = "ok" | "fails" | "unequal" | "unhealthy" | "dies-before" | "dies-after" | "silent";
export type Script = (action: string, nodeId: string) => Fate;

type Phase = "running" | "frozen" | "prepared" | "restored";

export interface ScriptedNode {
  readonly id: string;
  /** What this node has of each workload. */
  readonly has: Map<string, Phase>;
  /** Ids of commands whose effect was begun, in order; an id twice is a mistake. */
  readonly begun: { readonly id: string; readonly action: string }[];
  script: Script;
  connect(): Promise<void>;
  disconnect(): void;
  signal(kind: SignalKind, effectiveAtMs?: number): void;
}

export interface ScriptedFleet {
  /** The sessions of the present control plane. */
  gateway: Gateway;
  readonly nodes: ReadonlyMap<string, ScriptedNode>;
  /** The control plane's sessions die and another one's begin: agents reconnect. */
  restartSessions(): Promise<void>;
  stop(): void;
}

const manifest = {
  images: [{ name: "core-1.img", bytes: 10n, sha256: "aa" }],
  memoryBytes: 4096n,
  pageCount: 1n,
  filesDigest: "ff",
  processCount: 1,
  processDigest: "pp",
};

export const capableFacts = (): NodeFacts =>
  create(NodeFactsSchema, {
    hostname: "h",
    memoryBytes: 8n << 30n,
    cpuCount: 2,
    capabilities: { arch: "x64", cpuFeatures: ["avx"], criu: { available: true, version: "4.2.1" }, lazyPages: true, packetHold: "queue" },
  });

/** Rows of nodes as a registration leaves them. */
export async function insertNodes(db: Db, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    await db
      .insertInto("nodes")
      .values({
        id,
        facts: toColumn(NodeFactsSchema, capableFacts()),
        usage: toColumn(NodeUsageSchema, create(NodeUsageSchema, { memoryAvailableBytes: 4n << 30n, cpuFraction: 0.1 })),
        clock_offset_ms: 0,
      })
      .onConflict((conflict) => conflict.column("id").doNothing())
      .execute();
  }
}

/** A running workload on a node, in epoch 1. */
export async function insertWorkload(db: Db, name: string, nodeId: string, address: string): Promise<void> {
  const spec = create(WorkloadSpecSchema, { name, argv: ["/bin/true"], address, rootfs: "host", memoryLimitBytes: 64n << 20n });
  await db
    .insertInto("workloads")
    .values({ name, id: `id-${name}`, spec: toColumn(WorkloadSpecSchema, spec), address, desired: "running", state: "running" })
    .execute();
  await db.insertInto("placements").values({ workload: name, epoch: 1, node_id: nodeId, cause: "run" }).execute();
}

export function createScriptedFleet(parts: {
  readonly db: Db;
  readonly events: Events;
  readonly nodeIds: readonly string[];
  readonly mode?: MigrationMode;
  readonly nowMs: () => number;
}): ScriptedFleet {
  const { db, events, nowMs, mode = MigrationMode.STOP_AND_COPY } = parts;
  const nodes = new Map<string, ScriptedNode>();
  const makeGateway = () =>
    createGateway({
      commands: createCommandStore(db),
      signals: createSignalIntake(db, events, nowMs),
      memory: { hello: async () => [], late: async () => {}, settle: async () => {}, heard: () => {}, workloads: async () => {} },
      telemetry: { take: () => {} },
      agentConfig: create(AgentConfigSchema, {}),
      sign: (purpose, content) => ({ purpose, content }),
      clock: { ...systemClock, nowMs },
      log: silentLogger,
    });

  function createNode(id: string): ScriptedNode {
    const has = new Map<string, Phase>();
    const begun: { id: string; action: string }[] = [];
    const kept = new Map<string, CommandResult>();
    const aborted = new Set<string>();
    let up: Outbox<SessionRequest> | undefined;
    let life = new AbortController();
    const fences = new Map<string, bigint>();
    let sequence = 0n;

    const say = (message: MessageInitShape<typeof SessionRequestSchema>["message"]) =>
      up?.push(create(SessionRequestSchema, { message: message ?? { case: undefined } }));

    function keep(result: MessageInitShape<typeof CommandResultSchema>): void {
      const made = create(CommandResultSchema, result);
      kept.set(made.commandId, made);
      say({ case: "result", value: made });
    }

    async function carryOut(command: Command): Promise<void> {
      const known = kept.get(command.id);
      if (known !== undefined) return void say({ case: "result", value: known });
      const action = command.action.case ?? "";
      if (
        command.fence < (fences.get(command.migrationId) ?? 0n) ||
        (aborted.has(command.migrationId) && !["abort", "thaw"].includes(action))
      ) {
        return keep({ commandId: command.id, outcome: CommandOutcome.REFUSED, error: { code: "STALE_FENCE", message: "an older lease" } });
      }
      fences.set(command.migrationId, command.fence);
      if (action === "abort" || action === "thaw") aborted.add(command.migrationId);
      begun.push({ id: command.id, action });
      kept.set(command.id, create(CommandResultSchema, { commandId: command.id, outcome: CommandOutcome.RUNNING }));
      const fate = node.script(action, id);
      await sleep(2);
      // A failed freeze runs again, and a failed step has no effect; only a death leaves what it leaves.
      if (fate !== "fails" && fate !== "dies-before") effect(action, command.workload);
      if (fate === "dies-before" || fate === "dies-after") {
        kept.set(
          command.id,
          create(CommandResultSchema, {
            commandId: command.id,
            outcome: CommandOutcome.INTERRUPTED,
            error: { code: "STEP_INTERRUPTED", message: "the agent restarted" },
          }),
        );
        node.disconnect();
        await sleep(5);
        return node.connect();
      }
      if (fate === "fails")
        return keep({ commandId: command.id, outcome: CommandOutcome.FAILED, error: { code: "TOOL_FAILED", message: `${action} failed` } });
      const facts = factsOf(action, fate);
      const result = {
        commandId: command.id,
        outcome: CommandOutcome.OK,
        ...(facts === undefined ? {} : { facts }),
        phases: [{ name: `${action}.all`, durationMs: 2, outcome: "ok" }],
      };
      if (fate !== "silent") return keep(result);
      kept.set(command.id, create(CommandResultSchema, result));
      node.disconnect();
      await sleep(10);
      return node.connect();
    }

    function effect(action: string, workload: string): void {
      const phase = has.get(workload);
      if (action === "prepare" && phase === undefined) has.set(workload, "prepared");
      if (action === "restore" && phase === "prepared") has.set(workload, "restored");
      if (action === "freeze" && phase === "running") has.set(workload, "frozen");
      if (action === "thaw" && phase === "frozen") has.set(workload, "running");
      if (action === "resume" && phase === "restored") has.set(workload, "running");
      if (action === "release" && phase === "frozen") has.delete(workload);
      if (action === "abort" && phase !== "running") has.delete(workload);
      if (action === "removeWorkload") has.delete(workload);
    }

    function factsOf(action: string, fate: Fate): MessageInitShape<typeof CommandResultSchema>["facts"] {
      if (action === "preflight") {
        const blockers = [
          { code: "MODE_UNAVAILABLE", message: "it has a filter", mend: "Use --mode post-copy, or auto.", subject: "mode" },
        ];
        const value = { chosenMode: mode, modeReason: "as the script says", memoryBytes: 4096n };
        return { case: "preflight", value: fate === "unequal" ? { ...value, blockers } : value };
      }
      if (action === "prepare") return { case: "prepare", value: { linkAddress: "10.0.0.2", linkPort: 4000, holdMethod: "queue" } };
      if (action === "freeze") return { case: "freeze", value: { manifest, frozenAt: timestampFromMs(nowMs()) } };
      if (action === "restore") {
        return {
          case: "restore",
          value: { manifest: fate === "unequal" ? { ...manifest, filesDigest: "00" } : manifest, areImagesEqual: true },
        };
      }
      if (action !== "resume") return undefined;
      const health = fate === "unhealthy" ? HealthState.FAILING : HealthState.PASSING;
      return { case: "resume", value: { health, freezeMs: 42, network: { packetsHeld: 3, packetsReplayed: 3, holdMethod: "queue" } } };
    }

    const node: ScriptedNode = {
      id,
      has,
      begun,
      script: () => "ok",
      async connect() {
        if (life.signal.aborted) life = new AbortController();
        const mine = createOutbox<SessionRequest>(1_000);
        up = mine;
        const { signal } = life;
        const down = fleet.gateway.serve(id, mine, signal);
        say({ case: "hello", value: create(HelloSchema, { facts: capableFacts(), agentTime: timestampFromMs(nowMs()) }) });
        const welcomed = Promise.withResolvers<void>();
        void (async () => {
          for await (const { message } of down as AsyncIterable<SessionResponse>) {
            if (message.case === "welcome") {
              welcomed.resolve();
              for (const result of kept.values()) if (result.outcome !== CommandOutcome.RUNNING) say({ case: "result", value: result });
            }
            if (message.case === "signedCommand") void carryOut(fromBinary(CommandSchema, message.value.content));
            if (message.case === "queryCommandId") {
              const known = kept.get(message.value);
              say({
                case: "result",
                value: known ?? create(CommandResultSchema, { commandId: message.value, outcome: CommandOutcome.UNKNOWN }),
              });
            }
          }
          mine.end();
          welcomed.resolve();
        })();
        await welcomed.promise;
      },
      disconnect() {
        life.abort();
        up?.end();
        up = undefined;
      },
      signal(kind, effectiveAtMs) {
        const at = timestampFromMs(nowMs());
        say({
          case: "signal",
          value: {
            sequence: ++sequence,
            kind,
            observedAt: at,
            source: "imds",
            action: "terminate",
            ...(effectiveAtMs === undefined ? {} : { effectiveAt: timestampFromMs(effectiveAtMs) }),
          },
        });
      },
    };
    return node;
  }

  const fleet: ScriptedFleet = {
    gateway: makeGateway(),
    nodes,
    async restartSessions() {
      for (const node of nodes.values()) node.disconnect();
      fleet.gateway = makeGateway();
      for (const node of nodes.values()) await node.connect();
    },
    stop() {
      for (const node of nodes.values()) node.disconnect();
    },
  };
  for (const id of parts.nodeIds) nodes.set(id, createNode(id));
  return fleet;
}
