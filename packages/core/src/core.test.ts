import { CommandOutcome, CommandSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { NodeService } from "@aether/contract/gen/aether/v2/node_pb";
import { SignalKind } from "@aether/contract/gen/aether/v2/signal_pb";
import { fromBinary } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { agentClient, type CoreUnderTest, connectAgent, enrol, startCore } from "./testing/core-under-test.ts";

let core: CoreUnderTest;
beforeAll(async () => {
  core = await startCore({ heartbeat: { intervalMs: 200, lostAfterMs: 1500 } });
}, 90_000);
afterAll(() => core.stop());

const spec = (name: string, more: object = {}) => ({ name, argv: ["/bin/sleep", "1000"], ...more });

async function eventually<Found>(probe: () => Promise<Found | undefined | false>): Promise<Found> {
  for (let i = 0; i < 100; i++) {
    const found = await probe();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("it did not happen");
}

describe("the people's port", () => {
  it("answers REST, Connect and gRPC on one port, with one credential", async () => {
    const headers = { authorization: `Bearer ${core.adminToken}` };
    const connect = createClient(NodeService, createConnectTransport({ baseUrl: core.url, httpVersion: "1.1" }));
    const grpc = createClient(NodeService, createGrpcTransport({ baseUrl: core.url }));
    expect((await core.call("GET", "/api/v2/nodes")).status).toBe(200);
    expect((await connect.listNodes({}, { headers })).nodes).toBeInstanceOf(Array);
    expect((await grpc.listNodes({}, { headers })).nodes).toBeInstanceOf(Array);
    await expect(connect.listNodes({})).rejects.toMatchObject({ code: 16 });
    await expect(grpc.listNodes({})).rejects.toMatchObject({ code: 16 });
  });

  it("is ready, with each dependency by name", async () => {
    const { status, body } = await core.call("GET", "/readyz");
    expect([status, body.checks.map(({ name }: { name: string }) => name)]).toEqual([200, ["database", "identity"]]);
  });

  it("continues the caller's trace and echoes the request's id", async () => {
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const answer = await core.call("GET", "/api/v2/nodes/none", undefined, {
      traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
      "x-request-id": "mine-1",
    });
    expect(answer.status).toBe(404);
    expect(answer.body.error).toMatchObject({ code: "NODE_NOT_FOUND", field: "id", traceId });
    expect(answer.headers.get("traceparent")).toContain(traceId);
    expect(answer.headers.get("x-request-id")).toBe("mine-1");
  });

  it("gives an unknown route, a bad token and a large body the same shape", async () => {
    expect((await core.call("GET", "/nothing")).body.error.code).toBe("ROUTE_NOT_FOUND");
    expect((await core.call("GET", "/api/v2/nothing")).body.error.code).toBe("ROUTE_NOT_FOUND");
    const bad = await core.call("GET", "/api/v2/nodes", undefined, { authorization: "Bearer at_wrong" });
    expect([bad.status, bad.body.error.code]).toEqual([401, "UNAUTHENTICATED"]);
    const large = await core.call("POST", "/api/v2/workloads", `{"spec":"${"x".repeat(1 << 20)}"}`);
    expect([large.status, large.body.error.code]).toEqual([413, "REQUEST_TOO_LARGE"]);
  });

  it("lets a viewer look and nothing else, and says so on the audit log", async () => {
    const made = await core.call("POST", "/api/v2/tokens", { name: "looker", role: "ROLE_VIEWER" });
    const viewer = { authorization: `Bearer ${made.body.secret}` };
    expect((await core.call("GET", "/api/v2/nodes", undefined, viewer)).status).toBe(200);
    const denied = await core.call("POST", "/api/v2/workloads", { spec: spec("x") }, viewer);
    expect([denied.status, denied.body.error.code]).toEqual([403, "PERMISSION_DENIED"]);
    const { body } = await core.call("GET", "/api/v2/audit");
    expect(body.entries).toContainEqual(
      expect.objectContaining({
        ...{ actor: "token/looker", action: "access.denied", subject: "workload.run", outcome: "denied" },
        sourceAddress: "127.0.0.1",
      }),
    );
    expect((await core.call("GET", "/api/v2/audit:verify")).body.isIntact).toBe(true);
    await core.call("DELETE", `/api/v2/tokens/${made.body.token.id}`);
    expect((await core.call("GET", "/api/v2/nodes", undefined, viewer)).status).toBe(401);
  });

  it("gives the same answer for the same Idempotency-Key, and 409 for another body", async () => {
    const key = { "idempotency-key": "k-1" };
    const first = await core.call("POST", "/api/v2/tokens", { name: "once", role: "ROLE_VIEWER" }, key);
    const again = await core.call("POST", "/api/v2/tokens", { name: "once", role: "ROLE_VIEWER" }, key);
    expect(again.body).toEqual({ ...first.body, secret: "" });
    expect(again.headers.get("content-type")).toContain("application/json");
    const other = await core.call("POST", "/api/v2/tokens", { name: "twice", role: "ROLE_VIEWER" }, key);
    expect([other.status, other.body.error.code]).toEqual([409, "IDEMPOTENCY_KEY_REUSED"]);
    const { body } = await core.call("GET", "/api/v2/tokens");
    expect(body.tokens.filter(({ name }: { name: string }) => name === "once")).toHaveLength(1);
  });

  it("streams events as server-sent events with ids, and resumes", async () => {
    const abort = new AbortController();
    const headers = { authorization: `Bearer ${core.adminToken}`, accept: "text/event-stream" };
    const response = await fetch(`${core.url}/api/v2/events?after=0`, {
      headers: { ...headers, "last-event-id": "1" },
      signal: abort.signal,
    });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    await enrol(core, "sse-node");
    let text = "";
    for await (const chunk of response.body!) {
      text += Buffer.from(chunk).toString();
      if (text.includes("sse-node")) break;
    }
    abort.abort();
    expect(text).toMatch(/^id: \d+\ndata: \{"event":/m);
  });

  it("tells on the same stream what changed without an event, to those who ask, and such words have no id", async () => {
    const abort = new AbortController();
    const response = await fetch(`${core.url}/api/v2/events?changes=true&fleet=true`, {
      headers: { authorization: `Bearer ${core.adminToken}`, accept: "text/event-stream" },
      signal: abort.signal,
    });
    const agent = await connectAgent(core, await enrol(core, "beating"));
    agent.say({ case: "heartbeat", value: { agentTime: timestampNow(), usage: { cpuFraction: 0.25 } } });
    agent.say({ case: "telemetry", value: { node: { spanMs: 1000, cpuFraction: 0.25 } } });
    let text = "";
    for await (const chunk of response.body!) {
      text += Buffer.from(chunk).toString();
      if (text.includes('"telemetry"') && text.includes('"cpuFraction":0.25')) break;
    }
    abort.abort();
    await agent.disconnect();
    const blocks = text.split("\n\n").filter((block) => block !== "" && !block.startsWith(":"));
    for (const block of blocks) expect(block).toMatch(/^(id: \d+\ndata: \{"event":|data: \{"changes":)/);
    expect(text).toMatch(/"nodes":\[\{"id":"beating","seenAt":"[^"]+","isConnected":(true|false),"usage":\{"cpuFraction":0.25/);
  });
});

describe("an agent", () => {
  it("joins once with a token, and only a certificate opens a session", async () => {
    const token = await core.joinToken();
    const identity = await enrol(core, "joiner", token);
    expect(identity.spiffeId).toBe("spiffe://test.local/node/joiner");
    await expect(enrol(core, "second", token)).rejects.toMatchObject({ code: 16 });
    const { client, close } = agentClient(core, { trustBundlePem: identity.trustBundlePem });
    await expect(client.renewIdentity({ csrPem: "x" })).rejects.toMatchObject({ code: 16 });
    close();
  });

  it("keeps its name while it is connected", async () => {
    const agent = await connectAgent(core, await enrol(core, "keeper"));
    await expect(enrol(core, "keeper")).rejects.toMatchObject({ code: 6 });
    await agent.disconnect();
  });

  it("does not burn a token on a refused name", async () => {
    const token = await core.joinToken();
    await expect(enrol(core, "Not A Label", token)).rejects.toMatchObject({ code: 3 });
    expect((await enrol(core, "label", token)).spiffeId).toContain("/node/label");
  });

  it("has its signals stored once and acknowledged each time", async () => {
    const agent = await connectAgent(core, await enrol(core, "warned"));
    const value = { sequence: 1n, kind: SignalKind.NOTICE, observedAt: timestampNow(), action: "terminate", source: "imds" };
    agent.say({ case: "signal", value });
    agent.say({ case: "signal", value });
    await eventually(async () => agent.received.filter(({ message }) => message.case === "signalAck").length === 2);
    const { body } = await core.call("GET", "/api/v2/signals?nodeId=warned");
    expect(body.signals).toHaveLength(1);
    expect((await core.call("GET", "/api/v2/nodes/warned")).body.node.state).toBe("NODE_STATE_INTERRUPTED");
    await agent.disconnect();
  });

  it("has what it measures served over the window that is asked for", async () => {
    const agent = await connectAgent(core, await enrol(core, "measured"));
    agent.say({ case: "telemetry", value: { node: { spanMs: 1000, cpuFraction: 0.5 }, workloads: {} } });
    const samples = await eventually(async () => {
      const { body } = await core.call("GET", "/api/v2/nodes/measured/telemetry?windowSeconds=60");
      return body.samples?.length > 0 && body.samples;
    });
    expect(samples).toEqual([{ at: expect.stringContaining("Z"), spanMs: 1000, cpuFraction: 0.5 }]);
    const tooLong = await core.call("GET", "/api/v2/nodes/measured/telemetry?window_seconds=604801");
    expect([tooLong.status, tooLong.body.error]).toMatchObject([400, { code: "INVALID_ARGUMENT", field: "windowSeconds" }]);
    expect((await core.call("GET", "/api/v2/nodes/none/telemetry")).body.error.code).toBe("NODE_NOT_FOUND");
    expect((await core.call("GET", "/api/v2/workloads/none/telemetry")).body.error.code).toBe("WORKLOAD_NOT_FOUND");
    await agent.disconnect();
  });

  it("is lost when it is silent, and found when it is back", async () => {
    const identity = await enrol(core, "silent");
    const agent = await connectAgent(core, identity);
    await agent.disconnect();
    const state = async () => (await core.call("GET", "/api/v2/nodes/silent")).body.node.state;
    await eventually(async () => (await state()) === "NODE_STATE_LOST");
    const back = await connectAgent(core, identity);
    expect(await state()).toBe("NODE_STATE_READY");
    await back.disconnect();
  });

  it("is told to remove what is not on record, and what it lacks has failed", async () => {
    const identity = await enrol(core, "differs");
    const agent = await connectAgent(core, identity);
    await core.call("POST", "/api/v2/workloads", { spec: spec("vanishes"), nodeId: "differs" });
    await agent.disconnect();
    const back = await connectAgent(core, identity, undefined, [{ name: "unheard-of", epoch: 3n, phase: "running" }]);
    await back.hears((message) => {
      if (message.case !== "signedCommand") return false;
      const command = fromBinary(CommandSchema, message.value.content);
      return command.action.case === "removeWorkload" && command.workload === "unheard-of";
    });
    const failed = await eventually(async () => {
      const { workload } = (await core.call("GET", "/api/v2/workloads/vanishes")).body;
      return workload.state === "WORKLOAD_STATE_FAILED" && workload;
    });
    expect(failed.reason).toContain("differs does not have it any more");
    await back.disconnect();
  });
});

describe("a workload", () => {
  it("runs, is listed, stops and is removed; its next life has a higher epoch", async () => {
    const agent = await connectAgent(core, await enrol(core, "w1"));
    const made = await core.call("POST", "/api/v2/workloads", { spec: spec("web"), nodeId: "w1" });
    expect(made.status).toBe(200);
    expect(made.body.workload).toMatchObject({ state: "WORKLOAD_STATE_RUNNING", nodeId: "w1", epoch: "1" });
    expect(made.body.workload.spec.address).toMatch(/^10\.77\.1\.\d+$/);
    expect((await core.call("POST", "/api/v2/workloads", { spec: spec("web"), nodeId: "w1" })).body.error.code).toBe("WORKLOAD_EXISTS");
    const taken = await core.call("POST", "/api/v2/workloads", {
      spec: spec("web2", { address: made.body.workload.spec.address }),
      nodeId: "w1",
    });
    expect([taken.status, taken.body.error.code, taken.body.error.field]).toEqual([409, "ADDRESS_IN_USE", "spec.address"]);
    expect((await core.call("DELETE", "/api/v2/workloads/web")).body.error.code).toBe("WORKLOAD_RUNNING");
    const stopped = await core.call("POST", "/api/v2/workloads/web:stop", {});
    expect(stopped.body.workload.state).toBe("WORKLOAD_STATE_STOPPED");
    expect((await core.call("DELETE", "/api/v2/workloads/web")).status).toBe(200);
    expect((await core.call("GET", "/api/v2/workloads/web")).status).toBe(404);
    const next = await core.call("POST", "/api/v2/workloads", { spec: spec("web"), nodeId: "w1" });
    expect(next.body.workload.epoch).toBe("2");
    await agent.disconnect();
  });

  it("leaves nothing when the request was the mistake", async () => {
    const agent = await connectAgent(core, await enrol(core, "w2"), ({ action }) =>
      action.case === "startWorkload"
        ? { outcome: CommandOutcome.FAILED, error: { code: "COMMAND_NOT_EXECUTABLE", message: "no such file /nope" } }
        : { outcome: CommandOutcome.OK },
    );
    const { status, body } = await core.call("POST", "/api/v2/workloads", { spec: spec("wrong"), nodeId: "w2" });
    expect([status, body.error.code]).toEqual([400, "COMMAND_NOT_EXECUTABLE"]);
    expect((await core.call("GET", "/api/v2/workloads/wrong")).status).toBe(404);
    expect(agent.commands.map(({ action }) => action.case)).toEqual(["startWorkload", "removeWorkload"]);
    await agent.disconnect();
  });

  it("is asked about, not started again, when the session breaks in the middle", async () => {
    const identity = await enrol(core, "w3");
    const agent = await connectAgent(core, identity, () => undefined);
    const running = core.call("POST", "/api/v2/workloads", { spec: spec("broken"), nodeId: "w3" });
    await agent.hears(({ case: kind }) => kind === "signedCommand");
    await agent.disconnect();
    const back = await connectAgent(core, identity, undefined, [{ name: "broken", epoch: 1n, phase: "running" }], () => ({
      outcome: CommandOutcome.OK,
    }));
    expect((await running).body.workload.state).toBe("WORKLOAD_STATE_RUNNING");
    expect(back.commands.filter(({ action }) => action.case === "startWorkload")).toEqual([]);
    await back.disconnect();
  });

  it("streams its output, and runs commands", async () => {
    const agent = await connectAgent(core, await enrol(core, "w4"), async (command) => {
      if (command.action.case === "exec") {
        const facts = { case: "exec" as const, value: { exitCode: 3, stdout: Buffer.from("out") } };
        return { outcome: CommandOutcome.OK, facts };
      }
      if (command.action.case === "readLogs") {
        for (const text of ["one\n", "two\n"]) {
          agent.say({ case: "output", value: { commandId: command.id, chunk: Buffer.from(text) } });
        }
        agent.say({ case: "output", value: { commandId: command.id, isEnd: true } });
      }
      return { outcome: CommandOutcome.OK };
    });
    await core.call("POST", "/api/v2/workloads", { spec: spec("talks"), nodeId: "w4" });
    const exec = await core.call("POST", "/api/v2/workloads/talks:exec", { argv: ["/bin/true"] });
    expect(exec.body).toMatchObject({ exitCode: 3, stdout: Buffer.from("out").toString("base64") });
    const logs = await fetch(`${core.url}/api/v2/workloads/talks/logs`, { headers: { authorization: `Bearer ${core.adminToken}` } });
    const lines = (await logs.text())
      .trim()
      .split("\n")
      .map((line) => Buffer.from(JSON.parse(line).result.chunk, "base64").toString());
    expect(lines.join("")).toBe("one\ntwo\n");
    await agent.disconnect();
  });

  it("is checkpointed and restored in a later epoch", async () => {
    const agent = await connectAgent(core, await enrol(core, "w5"), ({ action }) =>
      action.case === "createSnapshot"
        ? { outcome: CommandOutcome.OK, facts: { case: "snapshot", value: { bytes: 42n, freezeMs: 7, manifest: { pageCount: 3n } } } }
        : { outcome: CommandOutcome.OK },
    );
    await core.call("POST", "/api/v2/workloads", { spec: spec("saved", { env: { PASSWORD: "hidden" } }), nodeId: "w5" });
    const made = await core.call("POST", "/api/v2/snapshots", { workload: "saved" });
    expect(made.body.snapshot).toMatchObject({ state: "SNAPSHOT_STATE_READY", bytes: "42" });
    const { id } = made.body.snapshot;
    // Values of the environment are for those who may run workloads.
    const { secret } = (await core.call("POST", "/api/v2/tokens", { name: "onlooker", role: "ROLE_VIEWER" })).body;
    for (const path of ["workloads", "workloads/saved", "snapshots", `snapshots/${id}`]) {
      const looked = await core.call("GET", `/api/v2/${path}`, undefined, { authorization: `Bearer ${secret}` });
      expect(JSON.stringify(looked.body), path).toContain('"PASSWORD":"***"');
      expect(JSON.stringify(looked.body), path).not.toContain("hidden");
      expect(JSON.stringify((await core.call("GET", `/api/v2/${path}`)).body), path).toContain('"PASSWORD":"hidden"');
    }
    expect((await core.call("POST", `/api/v2/snapshots/${id}:restore`, {})).body.error.code).toBe("WORKLOAD_RUNNING");
    await core.call("DELETE", "/api/v2/workloads/saved?force=true");
    const back = await core.call("POST", `/api/v2/snapshots/${id}:restore`, { nodeId: "w5" });
    expect(back.body.workload).toMatchObject({ state: "WORKLOAD_STATE_RUNNING", epoch: "2" });
    expect(agent.commands.at(-1)!.action.case).toBe("restoreSnapshot");
    expect((await core.call("DELETE", `/api/v2/snapshots/${id}`)).status).toBe(200);
    expect((await core.call("GET", `/api/v2/snapshots/${id}`)).status).toBe(404);
    await agent.disconnect();
  });

  it("is refused with the field's name, and never with a 5xx", async () => {
    const bad: [object, string, string][] = [
      [{ name: "Not_A_Label", argv: ["/x"] }, "INVALID_ARGUMENT", "spec.name"],
      [{ name: "a", argv: [] }, "INVALID_ARGUMENT", "spec.argv"],
      [{ name: "a", argv: ["/x"], address: "10.99.0.1" }, "INVALID_ARGUMENT", "spec.address"],
      [{ name: "a", argv: ["/x"], rootfs: "relative" }, "ROOTFS_INVALID", "spec.rootfs"],
      [
        { name: "a", argv: ["/x"], volumes: [{ source: "/a", destination: "b", mode: "VOLUME_MODE_SYNC" }] },
        "VOLUME_INVALID",
        "spec.volumes[0]",
      ],
      [
        { name: "a", argv: ["/x"], volumes: [{ source: "/a\nuid = 0", destination: "/b", mode: "VOLUME_MODE_SYNC" }] },
        "VOLUME_INVALID",
        "spec.volumes[0]",
      ],
      [{ name: "a", argv: ["/x"], env: { "A B": "x" } }, "INVALID_ARGUMENT", "spec.env"],
      [{ name: "a", argv: ["/x"], health: { tcpPort: 70000 } }, "INVALID_ARGUMENT", "spec.health.tcpPort"],
      [{ name: "a", argv: ["/x"], memoryLimitBytes: "12" }, "INVALID_ARGUMENT", "spec.memoryLimitBytes"],
      [{ name: "a", argv: ["/x"], pidsLimit: -2 }, "INVALID_ARGUMENT", "spec.pidsLimit"],
    ];
    for (const [wrong, code, field] of bad) {
      const { status, body } = await core.call("POST", "/api/v2/workloads", { spec: wrong });
      expect([status, body.error.code, body.error.field]).toEqual([400, code, field]);
    }
    expect((await core.call("POST", "/api/v2/workloads", { spec: spec("a"), nodeId: "nowhere" })).body.error.code).toBe("NODE_NOT_FOUND");
    for (const body of ["{", "[]", '"x"', "null", '{"spec":7}', '{"spec":{"name":{}}}', '{"nope":1}', '{"__proto__":{"a":1}}']) {
      expect([400, 404]).toContain((await core.call("POST", "/api/v2/workloads", body)).status);
    }
    for (const path of [
      "/api/v2/nodes/%ff",
      "/api/v2/nodes?pageSize=zz",
      "/api/v2/nodes?page.pageSize=-1",
      "/api/v2/nodes?bogus=1",
      "/api/v2/nodes?page.page_token=!!",
      "/%",
    ]) {
      expect([400, 404]).toContain((await core.call("GET", path)).status);
    }
  });
});

describe("after a restart", () => {
  it("finishes the start that was under way, with the kept result", async () => {
    const identity = await enrol(core, "r1");
    const agent = await connectAgent(core, identity, () => undefined);
    const cut = core.call("POST", "/api/v2/workloads", { spec: spec("survivor"), nodeId: "r1" }).catch(() => undefined);
    await agent.hears(({ case: kind }) => kind === "signedCommand");
    await core.restart();
    await cut;
    await agent.disconnect();
    const back = await connectAgent(core, identity, undefined, [{ name: "survivor", epoch: 1n, phase: "running" }], () => ({
      outcome: CommandOutcome.OK,
    }));
    await eventually(async () => (await core.call("GET", "/api/v2/workloads/survivor")).body.workload.state === "WORKLOAD_STATE_RUNNING");
    expect(back.commands.filter(({ action }) => action.case === "startWorkload")).toEqual([]);
    expect((await core.call("GET", "/api/v2/audit:verify")).body.isIntact).toBe(true);
    await back.disconnect();
  }, 30_000);
});
