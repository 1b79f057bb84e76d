// Agents simulated at the wire: real mutual TLS, real gRPC sessions, real messages, and no machine behind them. What core sees of them is what it sees of
// a fleet; what they answer is that everything went well. For measuring core, never for showing that a move works. They write frames on HTTP/2
// themselves, and what they say again and again is encoded once: on the same processors as core, the simulator should cost as little as it can.
import http2 from "node:http2";
import {
  type AgentConfig,
  AgentService,
  type Command,
  CommandOutcome,
  CommandSchema,
  HeartbeatSchema,
  SessionRequestSchema,
  type SessionResponse,
  SessionResponseSchema,
} from "@aether/contract/gen/aether/v2/agent_pb";
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import { SignalKind } from "@aether/contract/gen/aether/v2/signal_pb";
import { coreSpiffeId, type IdentityMaterial, parseSpiffeId, secureClientOptions } from "@aether/kit/identity";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";

type Up = NonNullable<MessageInitShape<typeof SessionRequestSchema>["message"]>;

export interface WireAgent {
  readonly nodeId: string;
  readonly workloadCount: number;
  /** Resolves at the Welcome. */
  connect(): Promise<void>;
  /**
   * With all that was measured since the one before, as often as core asks for: a sample of the node and of each of its workloads. (An agent that
   * measures less often than it says that it is there sends them by themselves.)
   */
  heartbeat(): void;
  notice(effectiveAtMs: number): void;
  /** Samples of nodes and workloads that were sent. */
  readonly sampleCount: number;
  /** As core said last. */
  readonly config: Pick<AgentConfig, "heartbeatIntervalMs" | "telemetryIntervalMs">;
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

/** As agents do, to learn soon that nobody hears them. */
const pingEveryMs = 4_000;
const heartbeatField = SessionRequestSchema.field.heartbeat.number;

export function createWireAgent({ address, identity, nodeId, workloads, stepMs }: WireAgentOptions): WireAgent {
  const source = { current: () => identity, onRotate: () => () => undefined };
  const options = secureClientOptions(source, coreSpiffeId(parseSpiffeId(identity.spiffeId).trustDomain));
  let session: http2.ClientHttp2Session | undefined;
  let stream: http2.ClientHttp2Stream | undefined;
  let sequence = 0n;
  let acknowledged = 0;
  let sampleCount = 0;
  /** Measured and not sent yet; a part of one stays for the next heartbeat. */
  let due = 0;
  let config: Pick<AgentConfig, "heartbeatIntervalMs" | "telemetryIntervalMs"> = { heartbeatIntervalMs: 0, telemetryIntervalMs: 0 };
  const statuses = () =>
    workloads.map(({ name, epoch }) => ({ name, epoch: BigInt(epoch), phase: "running", health: HealthState.PASSING }));
  const send = (message: Uint8Array) => {
    if (stream?.writable) stream.write(frameOf(message));
  };
  const say = (message: Up) => send(toBinary(SessionRequestSchema, create(SessionRequestSchema, { message })));

  async function carryOut(command: Command): Promise<void> {
    if (stepMs > 0) await new Promise((resolve) => setTimeout(resolve, stepMs));
    say({ case: "result", value: { commandId: command.id, ...answerOf(command) } });
  }

  function take({ message }: SessionResponse): void {
    if (message.case === "config") {
      config = message.value;
      bodies.clear();
    } else if (message.case === "signalAck") acknowledged++;
    else if (message.case === "signedCommand") void carryOut(fromBinary(CommandSchema, message.value.content));
    else if (message.case === "queryCommandId")
      say({ case: "result", value: { commandId: message.value, outcome: CommandOutcome.UNKNOWN } });
  }

  /** All of a heartbeat but its time, by how many samples it has. */
  const bodies = new Map<number, Uint8Array>();
  function bodyWith(samples: number): Uint8Array {
    const known = bodies.get(samples);
    if (known !== undefined) return known;
    const usage = { cpuFraction: 0.2, memoryUsedBytes: 2n << 30n, memoryAvailableBytes: 6n << 30n, agentResidentBytes: 80n << 20n };
    const spanMs = config.telemetryIntervalMs;
    const measured = Array.from({ length: samples }, (_, i) => measuredOf(workloads, spanMs, (samples - 1 - i) * spanMs));
    const made = toBinary(HeartbeatSchema, create(HeartbeatSchema, { usage, workloads: statuses(), measured }));
    bodies.set(samples, made);
    return made;
  }

  return {
    nodeId,
    workloadCount: workloads.length,
    get acknowledged() {
      return acknowledged;
    },
    get sampleCount() {
      return sampleCount;
    },
    get config() {
      return config;
    },
    connect() {
      return new Promise((resolve, reject) => {
        session = http2.connect(`https://${address}`, { ...options, servername: "" });
        session.on("error", reject);
        const pings = setInterval(() => {
          if (session?.destroyed === false) session.ping(() => undefined);
        }, pingEveryMs);
        session.on("close", () => clearInterval(pings));
        stream = session.request({
          ":method": "POST",
          ":path": `/${AgentService.typeName}/${AgentService.method.session.name}`,
          "content-type": "application/grpc+proto",
          te: "trailers",
        });
        stream.on("error", reject);
        stream.on("close", () => reject(new Error(`the session of ${nodeId} has ended`)));
        const read = createFrameReader();
        stream.on("data", (chunk: Buffer) => {
          for (const bytes of read(chunk)) {
            const response = fromBinary(SessionResponseSchema, bytes);
            if (response.message.case === "welcome") {
              config = response.message.value.config ?? config;
              resolve();
            } else take(response);
          }
        });
        say({ case: "hello", value: { facts: factsOf(nodeId), workloads: statuses(), agentTime: timestampNow() } });
      });
    },
    heartbeat() {
      const { heartbeatIntervalMs, telemetryIntervalMs } = config;
      due += telemetryIntervalMs > 0 ? heartbeatIntervalMs / telemetryIntervalMs : 0;
      const samples = Math.floor(due);
      due -= samples;
      sampleCount += samples * (1 + workloads.length);
      // In the binary encoding, a message is its fields one after the other, in any order.
      const time = toBinary(HeartbeatSchema, create(HeartbeatSchema, { agentTime: timestampNow() }));
      const message = Buffer.concat([time, bodyWith(samples)]);
      send(new BinaryWriter().tag(heartbeatField, WireType.LengthDelimited).bytes(message).finish());
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
      session?.destroy();
    },
  };
}

const noCompression = 0;

/** gRPC's length-prefixed message (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). */
function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.length);
  frame[0] = noCompression;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}

/** Gives the messages that are whole; keeps what is not. */
function createFrameReader(): (chunk: Buffer) => Buffer[] {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const found: Buffer[] = [];
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const end = 5 + rest.readUInt32BE(1);
      found.push(rest.subarray(5, end));
      rest = rest.subarray(end);
    }
    return found;
  };
}

function measuredOf(workloads: WireAgentOptions["workloads"], spanMs: number, ageMs: number) {
  return {
    ageMs,
    node: {
      spanMs,
      cpuFraction: Math.random(),
      memoryUsedBytes: 2n << 30n,
      memoryAvailableBytes: 6n << 30n,
      receivedBytesPerSecond: 1e6,
      sentBytesPerSecond: 1e6,
    },
    workloads: Object.fromEntries(
      workloads.map(({ name }) => [
        name,
        { spanMs, cpuFraction: 0.1, memoryBytes: 64n << 20n, dirtyBytesPerSecond: 1e6, dirtySource: "wp_async" },
      ]),
    ),
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
