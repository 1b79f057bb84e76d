// Agents simulated at the wire: real mutual TLS, real gRPC sessions, real messages, and no machine behind them. What core sees of them is what it sees of
// a fleet; what they answer is that everything went well. For measuring core, never for showing that a move works.
import {
  AgentService,
  type Command,
  CommandOutcome,
  CommandSchema,
  type SessionRequest,
  SessionRequestSchema,
} from "@aether/contract/gen/aether/v2/agent_pb";
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import { SignalKind } from "@aether/contract/gen/aether/v2/signal_pb";
import { coreSpiffeId, type IdentityMaterial, parseSpiffeId, secureClientOptions } from "@aether/kit/identity";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

type Up = NonNullable<MessageInitShape<typeof SessionRequestSchema>["message"]>;

export interface WireAgent {
  readonly nodeId: string;
  /** Resolves at the Welcome. */
  connect(): Promise<void>;
  heartbeat(): void;
  /** One sample of the node and of each of its workloads. */
  telemetry(): void;
  notice(effectiveAtMs: number): void;
  readonly acknowledged: number;
  close(): void;
}

export interface WireAgentOptions {
  /** HOST:PORT of core's port for agents. */
  readonly address: string;
  readonly identity: IdentityMaterial;
  readonly nodeId: string;
  readonly workloads: readonly { readonly name: string; readonly epoch: number }[];
  /** How long each command takes. */
  readonly stepMs: number;
}

const manifest = {
  images: [{ name: "core-1.img", bytes: 4096n, sha256: "aa" }],
  memoryBytes: 4096n,
  pageCount: 1n,
  filesDigest: "ff",
  processCount: 1,
  processDigest: "pp",
};

export function createWireAgent({ address, identity, nodeId, workloads, stepMs }: WireAgentOptions): WireAgent {
  const baseUrl = `https://${address}`;
  const source = { current: () => identity, onRotate: () => () => undefined };
  const options = secureClientOptions(source, coreSpiffeId(parseSpiffeId(identity.spiffeId).trustDomain));
  const manager = new Http2SessionManager(baseUrl, { pingIntervalMs: 60_000 }, { ...options, servername: "" });
  const client = createClient(AgentService, createGrpcTransport({ baseUrl, sessionManager: manager, acceptCompression: [] }));
  const queue: SessionRequest[] = [];
  let wake = () => {};
  let isOpen = true;
  let sequence = 0n;
  let acknowledged = 0;
  const say = (message: Up) => {
    queue.push(create(SessionRequestSchema, { message }));
    wake();
  };
  async function* up(): AsyncGenerator<SessionRequest> {
    while (isOpen) {
      const next = queue.shift();
      if (next !== undefined) yield next;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  }
  const statuses = () =>
    workloads.map(({ name, epoch }) => ({ name, epoch: BigInt(epoch), phase: "running", health: HealthState.PASSING }));
  const usage = { cpuFraction: 0.2, memoryUsedBytes: 2n << 30n, memoryAvailableBytes: 6n << 30n, agentResidentBytes: 80n << 20n };

  async function carryOut(command: Command): Promise<void> {
    if (stepMs > 0) await new Promise((resolve) => setTimeout(resolve, stepMs));
    say({ case: "result", value: { commandId: command.id, ...answerOf(command) } });
  }

  return {
    nodeId,
    get acknowledged() {
      return acknowledged;
    },
    connect() {
      return new Promise((resolve, reject) => {
        say({ case: "hello", value: { facts: factsOf(nodeId), workloads: statuses(), agentTime: timestampNow() } });
        (async () => {
          for await (const { message } of client.session(up())) {
            if (message.case === "welcome") resolve();
            else if (message.case === "signalAck") acknowledged++;
            else if (message.case === "signedCommand") void carryOut(fromBinary(CommandSchema, message.value.content));
            else if (message.case === "queryCommandId")
              say({ case: "result", value: { commandId: message.value, outcome: CommandOutcome.UNKNOWN } });
          }
        })().catch((caught: unknown) => {
          if (isOpen) reject(caught);
        });
      });
    },
    heartbeat: () => say({ case: "heartbeat", value: { agentTime: timestampNow(), usage, workloads: statuses() } }),
    telemetry() {
      const at = timestampNow();
      const node = {
        at,
        spanMs: 1000,
        cpuFraction: Math.random(),
        memoryUsedBytes: 2n << 30n,
        memoryAvailableBytes: 6n << 30n,
        receivedBytesPerSecond: 1e6,
        sentBytesPerSecond: 1e6,
      };
      const own = Object.fromEntries(
        workloads.map(({ name }) => [
          name,
          { at, spanMs: 1000, nodeId, cpuFraction: 0.1, memoryBytes: 64n << 20n, dirtyBytesPerSecond: 1e6, dirtySource: "wp_async" },
        ]),
      );
      say({ case: "telemetry", value: { node, workloads: own } });
    },
    notice(effectiveAtMs) {
      const value = {
        sequence: ++sequence,
        kind: SignalKind.NOTICE,
        observedAt: timestampNow(),
        effectiveAt: timestampFromMs(effectiveAtMs),
        action: "terminate",
        source: "imds",
      };
      say({ case: "signal", value });
    },
    close() {
      isOpen = false;
      wake();
      manager.abort();
    },
  };
}

/** As a registration would leave them; pools of 20 zones and 4 types. */
export function factsOf(nodeId: string) {
  const n = Number(/\d+$/.exec(nodeId)?.[0] ?? 0);
  return {
    hostname: nodeId,
    memoryBytes: 8n << 30n,
    cpuCount: 2,
    bootId: "wire",
    linkAddress: "127.0.0.1",
    agentVersion: "wire",
    cloud: {
      provider: "aws",
      region: "us-east-1",
      zone: `us-east-1${"abcdefghijklmnopqrst"[n % 20]}`,
      instanceId: `i-${nodeId}`,
      instanceType: `m5.${["large", "xlarge", "2xlarge", "4xlarge"][n % 4]}`,
      lifecycle: "spot",
    },
    capabilities: {
      arch: "x64",
      cpuFeatures: ["avx", "avx2"],
      criu: { available: true, version: "4.2.1", canaryDumpMs: 40, canaryRestoreMs: 30 },
      runcVersion: "1.1.5",
      lazyPages: true,
      packetHold: "queue",
    },
  };
}

function answerOf({ action }: Command) {
  const outcome = CommandOutcome.OK;
  switch (action.case) {
    case "preflight":
      return {
        outcome,
        facts: {
          case: "preflight" as const,
          value: { chosenMode: MigrationMode.STOP_AND_COPY, modeReason: "simulated at the wire", memoryBytes: 4096n },
        },
      };
    case "prepare":
      return { outcome, facts: { case: "prepare" as const, value: { linkAddress: "127.0.0.1", linkPort: 4000, holdMethod: "queue" } } };
    case "freeze":
      return { outcome, facts: { case: "freeze" as const, value: { manifest, frozenAt: timestampNow() } } };
    case "restore":
      return { outcome, facts: { case: "restore" as const, value: { manifest, areImagesEqual: true } } };
    case "resume":
      return {
        outcome,
        facts: {
          case: "resume" as const,
          value: {
            health: HealthState.PASSING,
            freezeMs: 40,
            network: { packetsHeld: 1, packetsReplayed: 1, holdMethod: "queue" },
            resumedAt: timestampNow(),
          },
        },
      };
    case "createSnapshot":
      return { outcome, facts: { case: "snapshot" as const, value: { manifest, bytes: 4096n, freezeMs: 40 } } };
    default:
      return { outcome };
  }
}
