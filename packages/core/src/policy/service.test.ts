import { type Command, CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import { SignalKind } from "@aether/contract/gen/aether/v2/signal_pb";
import { until } from "@aether/kit";
import { timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MovingCloud, startMovingCloud } from "../testing/moving-cloud.ts";

let cloud: MovingCloud;
const call: MovingCloud["core"]["call"] = (...asked) => cloud.core.call(...asked);
/** n1 cannot pre-copy. */
const answer = ({ action }: Command) =>
  action.case === "preflight" && action.value.requestedMode === MigrationMode.PRE_COPY
    ? {
        outcome: CommandOutcome.OK,
        facts: {
          case: "preflight" as const,
          value: { blockers: [{ code: "MODE_UNAVAILABLE", message: "no pre-copy here", subject: "mode", mend: "Use another mode." }] },
        },
      }
    : undefined;

beforeAll(async () => {
  cloud = await startMovingCloud({ config: { decision: { onRebalance: "migrate" }, moves: { atOnce: 1 } }, answer });
  for (const [name, tier] of [
    ["db", "db"],
    ["web", "web"],
  ]) {
    const spec = { name, rootfs: "host", argv: ["/bin/true"], labels: { tier }, memoryLimitBytes: String(64 << 20) };
    const made = await call("POST", "/api/v2/workloads", { spec, nodeId: "n1" });
    expect([made.status, made.body.workload.spec.labels]).toEqual([200, { tier }]);
  }
}, 60_000);
afterAll(() => cloud.stop());

const say = (kind: SignalKind, sequence: bigint) =>
  cloud.agents.get("n1")?.say({
    case: "signal",
    value: {
      sequence,
      kind,
      observedAt: timestampNow(),
      source: "imds",
      ...(kind === SignalKind.NOTICE ? { action: "terminate", effectiveAt: timestampFromMs(Date.now() + 120_000) } : {}),
    },
  });
const databases = (settings: object, more: object = {}) => ({ name: "databases", selector: { tier: "db" }, settings, ...more });
const set = (policy: { name: string }, headers: Record<string, string> = {}) =>
  call("PUT", `/api/v2/policies/${policy.name}`, policy, headers);
const of = async (workload: string) => {
  const { settings } = (await call("GET", `/api/v2/workloads/${workload}/policy`)).body;
  return Object.fromEntries(
    settings.map((each: { name: string; value: string; source: string }) => [each.name, `${each.value} ${each.source}`]),
  );
};
const planned = async () => (await call("POST", "/api/v2/plans:wave", { nodeIds: ["n1"] })).body.plan.moves;
/** Open on one day only, and that is not today or tomorrow. */
const shut = () => ({
  days: [["sun", "mon", "tue", "wed", "thu", "fri", "sat"][(new Date().getUTCDay() + 3) % 7]],
  from: "10:00",
  to: "11:00",
});

describe("a policy", () => {
  it("is refused by the field that is wrong, and to who is no admin", async () => {
    for (const [policy, field] of [
      [databases({ priority: 101 }), "policy.settings.priority"],
      [databases({ rpoSeconds: 5 }), "policy.settings.rpoSeconds"],
      [databases({ onNodeLost: "ON_NODE_LOST_UNSPECIFIED" }), "policy.settings.onNodeLost"],
      [databases({ mode: "MIGRATION_MODE_UNSPECIFIED" }), "policy.settings.mode"],
      [databases({ windows: [{ from: "22:00", to: "25:00" }] }), "policy.settings.windows[0].to"],
      [databases({}), "policy.settings"],
      [databases({ priority: 1 }, { selector: { tier: "a b" } }), "policy.selector"],
    ] as const) {
      const { status, body } = await set(policy);
      expect([status, body.error?.field]).toEqual([400, field]);
    }
    const viewer = (await call("POST", "/api/v2/tokens", { name: "v", role: "ROLE_VIEWER" })).body.secret;
    const refused = await set(databases({ priority: 1 }), { authorization: `Bearer ${viewer}` });
    expect([refused.status, refused.body.error.code]).toEqual([403, "PERMISSION_DENIED"]);
    expect((await call("GET", "/api/v2/policies")).body.policies).toEqual([]);
  });

  it("is previewed without being stored", async () => {
    const { body } = await call("POST", "/api/v2/policies:preview", { policy: databases({ priority: 90 }) });
    expect(body.effects).toEqual([{ workload: "db", setting: "priority", before: "0", after: "90" }]);
    expect((await call("GET", "/api/v2/policies")).body.policies).toEqual([]);
    expect((await of("db")).priority).toBe("0 default");
  });

  it("has versions, an event and an entry in the audit; the same again is no new one; If-Match and Idempotency-Key hold", async () => {
    const first = await set(databases({ priority: 90 }));
    expect(first.body.policy).toMatchObject({ name: "databases", version: 1, workloads: ["db"], changedBy: expect.stringContaining("/") });
    expect((await set(databases({ priority: 90 }))).body.policy.version).toBe(1);
    const { headers } = await call("GET", "/api/v2/policies/databases");
    const match = { "if-match": headers.get("etag") ?? "" };
    const once = { "idempotency-key": "one" };
    const second = await set(databases({ priority: 70 }), { ...match, ...once });
    expect(second.body.policy.version).toBe(2);
    expect((await set(databases({ priority: 70 }), once)).headers.get("idempotent-replayed")).toBe("true");
    expect((await set(databases({ priority: 60 }), match)).status).toBe(412);
    const { policies } = (await call("GET", "/api/v2/policies/databases/versions?page.pageSize=1")).body;
    expect(policies).toMatchObject([{ version: 2, settings: { priority: 70 } }]);
    expect((await call("GET", "/api/v2/policies/databases?version=1")).body.policy).toMatchObject({
      settings: { priority: 90 },
      workloads: [],
    });
    expect((await call("GET", "/api/v2/policies/databases?version=9")).body.error.code).toBe("POLICY_NOT_FOUND");
    const [entry] = (await call("GET", "/api/v2/audit?page.pageSize=1000")).body.entries.filter(
      (each: { action: string; subject: string; dataJson: string }) =>
        each.action === "policy.set" && each.subject === "policy/databases" && each.dataJson.includes("policy.settings.priority"),
    );
    expect(JSON.parse(entry.dataJson)).toMatchObject({
      before: { "policy.settings.priority": 90 },
      after: { "policy.settings.priority": 70 },
    });
    const { events } = (await call("GET", "/api/v2/events:list?page.pageSize=1000")).body;
    expect(events.filter(({ type }: { type: string }) => type === "policy.set")).toHaveLength(2);
  });

  it("changes the plan of a wave: who goes first", async () => {
    expect((await planned()).map((move: { workload: string; priority: number }) => [move.workload, move.priority])).toEqual([
      ["db", 70],
      ["web", 0],
    ]);
    await set({ name: "web", selector: { tier: "web" }, settings: { priority: 80 } } as { name: string });
    expect((await planned())[0]).toMatchObject({ workload: "web", priority: 80 });
  });

  it("chooses by labels that change while the workload runs; of two who change them only one gets through", async () => {
    const { body, headers } = await call("GET", "/api/v2/workloads/web");
    const match = { "if-match": headers.get("etag") ?? "" };
    const label = (tier: string) =>
      call("PATCH", "/api/v2/workloads/web", { spec: { labels: { tier } }, updateMask: "labels" }, match).then(({ status }) => status);
    expect((await Promise.all([label("db"), label("cache"), label("db")])).sort()).toEqual([200, 412, 412]);
    const update = (spec: object, updateMask: string) => call("PATCH", "/api/v2/workloads/web", { spec, updateMask });
    expect((await update({ labels: { tier: "db" }, argv: ["/bin/false"] }, "labels")).body.workload.spec).toEqual({
      ...body.workload.spec,
      labels: { tier: "db" },
    });
    expect((await of("web")).priority).toBe("70 policy/databases@2");
    expect((await update({ evacuation: { priority: 3 } }, "evacuation.priority")).status).toBe(200);
    expect((await of("web")).priority).toBe("3 spec");
    expect((await update({}, "argv")).body.error.field).toBe("updateMask");
    expect((await update({ labels: { tier: "web" } }, "labels,evacuation")).body.workload.spec.labels).toEqual({ tier: "web" });
    expect((await of("web")).priority).toBe("80 policy/web@1");
    const { events } = (await call("GET", "/api/v2/events:list?page.pageSize=1000")).body;
    expect(events.filter(({ type }: { type: string }) => type === "workload.updated").length).toBeGreaterThan(2);
  });

  it("keeps its workloads where they are outside of its windows, when nothing is forced", async () => {
    await set(databases({ priority: 70, mode: "MIGRATION_MODE_PRE_COPY", windows: [shut()] }));
    say(SignalKind.REBALANCE, 1n);
    const [decision] = await until("the decision", 50, 10_000, async () => {
      const { decisions } = (await call("GET", "/api/v2/decisions?nodeId=n1")).body;
      return decisions.length > 0 ? decisions : undefined;
    });
    expect(decision.rule).toBe("rebalance-early-move");
    expect(decision.moves).toMatchObject([
      { workload: "db", action: "stay", refusal: "outside of the windows of policy/databases@3" },
      { workload: "web", action: "move", targetNodeId: "n2" },
    ]);
  });

  it("has its mode tried on a notice, whatever the windows, and the workload moves in another where that cannot be had", async () => {
    say(SignalKind.NOTICE, 2n);
    const moves = await until("the second move", 50, 20_000, async () => {
      const { migrations } = (await call("GET", "/api/v2/migrations?workload=db")).body;
      return migrations.some((each: { state: string }) => each.state === "MIGRATION_STATE_DONE") ? migrations : undefined;
    });
    expect(moves.map((each: { requestedMode: string; state: string }) => [each.requestedMode, each.state]).reverse()).toEqual([
      ["MIGRATION_MODE_PRE_COPY", "MIGRATION_STATE_ROLLED_BACK"],
      ["MIGRATION_MODE_AUTO", "MIGRATION_STATE_DONE"],
    ]);
  }, 40_000);

  it("makes snapshots by its objective", async () => {
    await set({ name: "web", selector: { tier: "web" }, settings: { rpoSeconds: 10, maxFreezeMs: 750 } } as { name: string });
    const [snapshot] = await until("a snapshot", 200, 30_000, async () => {
      const { snapshots } = (await call("GET", "/api/v2/snapshots?workload=web")).body;
      return snapshots.length > 0 ? snapshots : undefined;
    });
    expect(snapshot).toMatchObject({ cause: "rpo", maxFreezeMs: 750 });
  }, 40_000);

  it("that is deleted gives the defaults back, and goes on with its versions when its name is used again", async () => {
    expect((await of("db")).priority).toBe("70 policy/databases@3");
    expect((await call("DELETE", "/api/v2/policies/databases")).status).toBe(200);
    expect(await of("db")).toMatchObject({ priority: "0 default", mode: "auto default", windows: "always default" });
    expect((await call("DELETE", "/api/v2/policies/databases")).body.error.code).toBe("POLICY_NOT_FOUND");
    expect((await call("GET", "/api/v2/policies/databases/versions")).body.policies).toHaveLength(3);
    expect((await set(databases({ priority: 1 }))).body.policy.version).toBe(4);
  });

  it("brings its workloads back when their node is dead, and none that it does not choose", async () => {
    await set({ name: "web", selector: { tier: "web" }, settings: { onNodeLost: "ON_NODE_LOST_RESTORE" } } as { name: string });
    expect((await call("POST", "/api/v2/snapshots", { workload: "db" })).status).toBe(200);
    await cloud.join("n3");
    await cloud.cut("n2");
    const declare = async (isDryRun: boolean) => {
      const { body } = await call("POST", "/api/v2/nodes/n2:declareDead", { isDryRun });
      return body.workloads?.map(({ name, outcome }: { name: string; outcome: string }) => [name, outcome.split(" ")[0]]);
    };
    expect(await until("the node to be silent", 100, 10_000, () => declare(true))).toEqual([
      ["db", "stays"],
      ["web", "comes"],
    ]);
    await declare(false);
    const { workload } = await until("it to be back", 200, 25_000, async () => {
      const { body } = await call("GET", "/api/v2/workloads/web");
      return body.workload.state === "WORKLOAD_STATE_RUNNING" ? body : undefined;
    });
    expect(workload.nodeId).toBe("n3");
    expect((await call("GET", "/api/v2/workloads/db")).body.workload.state).toBe("WORKLOAD_STATE_LOST");
    const [decision] = (await call("GET", "/api/v2/decisions?nodeId=n2")).body.decisions;
    expect(decision.inputs).toContainEqual({ name: "policy of the workload", value: "restore when its node is lost (policy/web@3)" });
  }, 60_000);
});
