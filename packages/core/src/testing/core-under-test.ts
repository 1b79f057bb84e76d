// For tests: a whole control plane on free ports in a directory of its own, and agents that speak the real protocol over mutual TLS.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AgentService,
  type Command,
  CommandOutcome,
  type CommandResultSchema,
  CommandSchema,
  type SessionRequest,
  SessionRequestSchema,
  type SessionResponse,
} from "@aether/contract/gen/aether/v2/agent_pb";
import type { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { createLogger, silentLogger } from "@aether/kit";
import {
  coreSpiffeId,
  createIdentityRequest,
  createSignatureCheck,
  type IdentityMaterial,
  parseJoinToken,
  pinnedTrust,
  secureClientOptions,
} from "@aether/kit/identity";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate, timestampNow } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { type CoreConfigInput, coreConfig } from "../config.ts";
import { type RunningCore, runCore } from "../core.ts";
import { scratchEngine } from "../db/scratch-database.ts";
import { createOutbox } from "../fleet/outbox.ts";

/** JSON of an answer, read by tests without a type. */
// biome-ignore lint/suspicious/noExplicitAny: a test looks at whatever came
type Any = any;

const trustDomain = "test.local";

export interface CoreUnderTest {
  readonly core: RunningCore;
  readonly dir: string;
  readonly url: string;
  readonly adminToken: string;
  /** REST with the admin's token. */
  call(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<{ status: number; body: Any; headers: Headers }>;
  joinToken(): Promise<string>;
  /** Stops core and starts it again on the same directory and ports. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function startCore(config: Partial<CoreConfigInput> = {}): Promise<CoreUnderTest> {
  const dir = await mkdtemp(join(tmpdir(), "aether-core-"));
  const { postgres: database, done } =
    config.database === undefined ? await scratchEngine().configure() : { postgres: config.database, done: async () => {} };
  const input = {
    database,
    trustDomain,
    agents: { host: "127.0.0.1", port: 0 },
    http: { host: "127.0.0.1", port: 0 },
    ...config,
    dataDir: dir,
  };
  const start = (ports?: { http: number; agents: number }) =>
    runCore(
      coreConfig.parse(
        ports === undefined
          ? input
          : { ...input, http: { ...input.http, port: ports.http }, agents: { ...input.agents, port: ports.agents } },
      ),
      new AbortController().signal,
      process.env.DEBUG_CORE ? createLogger({ name: "core" }) : silentLogger,
    );
  let core = await start();
  const url = `http://127.0.0.1:${core.http.port}`;
  const adminToken = (await readFile(join(dir, "admin.token"), "utf8")).trim();
  const call: CoreUnderTest["call"] = async (method, path, body, headers = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${adminToken}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? undefined : JSON.parse(text), headers: response.headers };
  };
  return {
    get core() {
      return core;
    },
    dir,
    url,
    adminToken,
    call,
    joinToken: async () => (await call("POST", "/api/v2/tokens", { name: "join", role: "ROLE_AGENT" })).body.secret,
    async restart() {
      const ports = { http: core.http.port, agents: core.agents.port };
      await core.stop();
      core = await start(ports);
    },
    async stop() {
      await core.stop();
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
      await done();
    },
  };
}

/** Registers a node with a join token; the answer is what it may then authenticate with. */
export async function enrol(core: CoreUnderTest, nodeId: string, joinToken?: string): Promise<IdentityMaterial> {
  const token = joinToken ?? (await core.joinToken());
  const { port } = core.core.agents;
  const trust = await pinnedTrust({ host: "127.0.0.1", port, pin: parseJoinToken(token).pin, deadlineMs: 5000, alpn: ["h2"] });
  const { csrPem, privateKeyPem } = await createIdentityRequest();
  const { client, close } = agentClient(core, trust);
  try {
    const { identity } = await client.register({ joinToken: token, nodeId, csrPem, facts: factsOf(nodeId) });
    if (identity?.expiresAt === undefined) throw new Error("no identity");
    const { spiffeId, certificateChainPem, trustBundlePem, expiresAt } = identity;
    return { spiffeId, certificateChainPem, trustBundlePem, privateKeyPem, expiresAtMs: timestampDate(expiresAt).getTime() };
  } finally {
    close();
  }
}

const factsOf = (nodeId: string) => ({
  hostname: nodeId,
  memoryBytes: 8n << 30n,
  bootId: "boot",
  capabilities: { runcVersion: "1.1.5", criu: { available: true, version: "4.2.1" } },
});

export function agentClient(core: CoreUnderTest, trust: IdentityMaterial | { readonly trustBundlePem: string }) {
  const baseUrl = `https://127.0.0.1:${core.core.agents.port}`;
  const source = "privateKeyPem" in trust ? { current: () => trust, onRotate: () => () => undefined } : trust;
  const sessionManager = new Http2SessionManager(
    baseUrl,
    {},
    { ...secureClientOptions(source, coreSpiffeId(trustDomain)), servername: "" },
  );
  return { client: createClient(AgentService, createGrpcTransport({ baseUrl, sessionManager })), close: () => sessionManager.abort() };
}

type Says = MessageInitShape<typeof SessionRequestSchema>["message"];
type Answer = Omit<MessageInitShape<typeof CommandResultSchema>, "commandId" | "$typeName" | "$unknown" | "phases">;

export interface ConnectedAgent {
  readonly received: SessionResponse[];
  readonly commands: Command[];
  say(message: NonNullable<Says>): void;
  /** Resolves when a received message fits. */
  hears(what: (message: SessionResponse["message"]) => boolean): Promise<SessionResponse>;
  disconnect(): Promise<void>;
}

/** Opens a session; `answer` gives each command's result, or undefined to stay silent. */
export async function connectAgent(
  core: CoreUnderTest,
  identity: IdentityMaterial,
  answer: (command: Command) => Answer | undefined | Promise<Answer | undefined> = () => ({ outcome: CommandOutcome.OK }),
  workloads: { name: string; epoch: bigint; phase: string; migrationId?: string }[] = [],
  onQuery?: (commandId: string) => Answer,
  facts: MessageInitShape<typeof NodeFactsSchema> = factsOf("x"),
): Promise<ConnectedAgent> {
  const { client, close } = agentClient(core, identity);
  const outbox = createOutbox<SessionRequest>(1000);
  const received: SessionResponse[] = [];
  const commands: Command[] = [];
  const waiting = new Set<() => void>();
  const say: ConnectedAgent["say"] = (message) => {
    outbox.push(create(SessionRequestSchema, { message }));
  };
  const verified = createSignatureCheck(() => ({ trustBundlePem: identity.trustBundlePem, spiffeId: coreSpiffeId(trustDomain) }));
  const ended = (async () => {
    for await (const response of client.session(outbox)) {
      received.push(response);
      for (const wake of waiting) wake();
      const { message } = response;
      if (message.case === "signedCommand") {
        const command = fromBinary(CommandSchema, verified(message.value, "command"));
        commands.push(command);
        const result = await answer(command);
        if (result) say({ case: "result", value: { ...result, commandId: command.id } });
      } else if (message.case === "queryCommandId") {
        const result = onQuery?.(message.value) ?? { outcome: CommandOutcome.UNKNOWN };
        say({ case: "result", value: { ...result, commandId: message.value } });
      }
    }
  })().catch(() => undefined);
  say({ case: "hello", value: { facts, workloads, agentTime: timestampNow() } });
  const hears: ConnectedAgent["hears"] = (what) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(look);
        reject(new Error(`not heard; had ${received.map(({ message }) => message.case).join(", ")}`));
      }, 5000);
      const look = () => {
        const found = received.find(({ message }) => what(message));
        if (found === undefined) return;
        waiting.delete(look);
        clearTimeout(timer);
        resolve(found);
      };
      waiting.add(look);
      look();
    });
  await hears(({ case: kind }) => kind === "welcome");
  return {
    received,
    commands,
    say,
    hears,
    async disconnect() {
      outbox.end();
      close();
      await ended;
    },
  };
}
