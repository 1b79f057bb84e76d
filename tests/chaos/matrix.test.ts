// The crash matrix on real CRIU: each case begins a move under load and makes somebody fail at a named point. However it ends, exactly one
// instance runs, the client's counter skipped and repeated nothing, a rollback says that it is one, and nothing is left behind.
// A subset by default, by seed; all of it: npm run test:chaos, or with AETHER_CHAOS_SLICE=k/n the k-th of n parts. AETHER_CHAOS_SEED=n repeats a
// subset, AETHER_CHAOS_ONLY=text picks by name.
import { sleep, until } from "@aether/kit";
import { createLoadClient, type LoadClient } from "@aether/lab";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { missingForCloud } from "../local-cloud.ts";
import { type Case, chooseCases, type Fault } from "./cases.ts";
import { type ChaosCloud, demo, type Migration, startChaosCloud } from "./cloud.ts";

const missing = await missingForCloud();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;
const isWhole = process.env.AETHER_CHAOS === "all";
const seed = Number(process.env.AETHER_CHAOS_SEED ?? Math.floor(Date.now() / 86_400_000));
const only = process.env.AETHER_CHAOS_ONLY;
const [slice = 1, slices = 1] = (process.env.AETHER_CHAOS_SLICE ?? "1/1").split("/").map(Number);
const isAll = isWhole || only !== undefined || slices > 1;
const cases = chooseCases(seed, isAll ? undefined : 8).filter(
  ({ name }, i) => (only === undefined || name.includes(only)) && i % slices === slice - 1,
);

describe.skipIf(missing !== undefined)(`the crash matrix (${cases.length} cases, seed ${seed})${why}`, () => {
  let cloud: ChaosCloud;
  let client: LoadClient;
  beforeAll(async () => {
    cloud = await startChaosCloud();
    client = createLoadClient({ ...demo, key: "chaos", pauseMs: 1 });
    client.start();
    await until("the first answers", 20, 10_000, async () => ((client.lastValue ?? 0) > 20 ? true : undefined));
  }, 120_000);
  afterAll(async () => {
    await client?.stop();
    await cloud?.stop();
  }, 60_000);

  it.each(cases)(
    "$name",
    async (each) => {
      const begun = await begin();
      const daemonOf = (fault: Fault) =>
        fault.victim === "core" ? "core" : `agent-${fault.victim === "source" ? begun.source : begun.target}`;
      const armed = each.faults.filter((fault) => fault.how !== "cut");
      for (const fault of armed) await cloud.arm(daemonOf(fault), fault.point, fault.how);
      const before = client.totals();
      const id = await migrate();
      for (const { how, victim, point } of each.faults)
        if (how === "cut") await cutAt(id, point, victim === "source's link" ? begun.source : begun.target);
      const ended = await endOf(id);
      const fired = armed.filter((fault) => !cloud.isArmed(daemonOf(fault), fault.point)).length;
      await cloud.disarmAll();
      await settled(each, ended);
      const after = client.totals();
      // The oracle: what the client was told never skipped and never repeated. A cut link or a rollback costs time, never an answer.
      expect(after.wrongCount - before.wrongCount, "answers that were wrong").toBe(0);
      expect(after.errorCount - before.errorCount, "errors that the client saw").toBe(0);
      expect(client.lastValue, "the counter is what was counted").toBe(after.requestCount);
      if (armed.length > 0) expect(fired, "faults that fired").toBeGreaterThan(0);
      if (ended.state === "MIGRATION_STATE_ROLLED_BACK") expect(ended.error?.code ?? "", "a rollback says why").not.toBe("");
      // Of a source that died in the freeze the target hears only the end of the link: that is not what people read.
      const [{ victim, point, how }, ...others] = each.faults as readonly [Fault, ...Fault[]];
      if (others.length === 0 && victim === "source" && how === "kill" && point.startsWith("freeze.") && ended.error !== undefined)
        expect(ended.error.message).toContain(`the agent of ${begun.source} `);
    },
    120_000,
  );

  it.skipIf(only !== undefined && !"reflex".includes(only))(
    "a notice that core cannot hear: the node keeps the state by itself, and core takes over what came of it",
    async () => {
      const { source } = await begin();
      const list = async () =>
        (await cloud.call<{ snapshots?: { id: string; state: string; cause: string }[] }>("GET", "/api/v2/snapshots?workload=demo"))?.body
          ?.snapshots ?? [];
      const known = new Set((await list()).map(({ id }) => id));
      // A plan is on the node's disk some seconds after its session began.
      await sleep(7_000);
      const goOn = await cloud.standStill("core");
      try {
        await cloud.announce(source, 100);
        await until("the reflex", 500, 40_000, async () =>
          cloud.log(`agent-${source}`).includes('"action":"createSnapshot"') ? true : undefined,
        );
        await sleep(3_000);
      } finally {
        goOn();
      }
      // The notice may be heard first, while the other node has not come back yet: then core asks for a snapshot of its own, and there are two.
      const ruleOf = async (cause: string) =>
        (await cloud.call<{ decision: { rule: string } }>("GET", `/api/v2/decisions/${cause.slice("decision/".length)}`))?.body?.decision
          ?.rule;
      await until("core to take it over", 500, 40_000, async () => {
        const ready = (await list()).filter(({ id, state }) => !known.has(id) && state === "SNAPSHOT_STATE_READY");
        const rules = await Promise.all(ready.map(({ cause }) => ruleOf(cause)));
        return rules.includes("reflex") ? true : undefined;
      });
      // The notice itself is heard now, and answered as ever: the workload leaves, with every answer right.
      await until("the workload to have left", 500, 60_000, async () => {
        const now = await cloud.call<{ workload: { nodeId: string; state: string } }>("GET", "/api/v2/workloads/demo");
        return now?.body?.workload?.nodeId !== source && now?.body?.workload?.state === "WORKLOAD_STATE_RUNNING" ? true : undefined;
      });
      await cloud.withdraw(source);
      expect(client.totals().wrongCount).toBe(0);
      expect(client.totals().errorCount).toBe(0);
    },
    180_000,
  );

  it.skipIf(only !== undefined && !"restore".includes(only))(
    "a node that dies in the middle of a restore: another one restores it, and what the dead one had half done goes when it is back",
    async () => {
      await begin();
      interface Half {
        workload: { nodeId: string; state: string; epoch: string };
      }
      const read = async () => (await cloud.call<Half>("GET", "/api/v2/workloads/half"))?.body?.workload;
      const spec = {
        name: "half",
        rootfs: "host",
        argv: ["sleep", "infinity"],
        address: "10.79.1.91",
        evacuation: { onNodeLost: "ON_NODE_LOST_RESTORE" },
      };
      // Of a node whose notice was withdrawn just now (by the case before) core may not have heard it yet.
      let refusal: unknown;
      await until("n1 to take another workload", 200, 20_000, async () => {
        const asked = await cloud.call("POST", "/api/v2/workloads", { spec, nodeId: "n1" });
        refusal = asked?.body;
        return asked?.status === 200 ? true : undefined;
      }).catch((cause: unknown) => {
        throw new Error(JSON.stringify(refusal), { cause });
      });
      const made = await cloud.call<{ snapshot: { id: string } }>("POST", "/api/v2/snapshots", { workload: "half" });
      expect((await cloud.call("POST", "/api/v2/workloads/half:stop", { graceSeconds: 1 }))?.status).toBe(200);
      await cloud.arm("agent-n2", "snapshot.restored", "stop");
      const asked = cloud.call("POST", `/api/v2/snapshots/${made?.body.snapshot.id}:restore`, { nodeId: "n2" });
      await until("the restore to be half done", 100, 20_000, async () =>
        cloud.isArmed("agent-n2", "snapshot.restored") ? undefined : true,
      );
      const goOn = await cloud.standStill("agent-n2");
      try {
        await until("its word to be taken", 500, 20_000, async () =>
          (await cloud.call("POST", "/api/v2/nodes/n2:declareDead", { reason: "terminated" }))?.status === 200 ? true : undefined,
        );
        const back = await until("it to run on the other node", 200, 30_000, async () => {
          const now = await read();
          return now?.state === "WORKLOAD_STATE_RUNNING" ? now : undefined;
        });
        expect(back).toMatchObject({ nodeId: "n1", epoch: "3" });
      } finally {
        goOn();
      }
      await asked;
      await until("one instance", 100, 30_000, async () => {
        const holders = await cloud.holders("half");
        return holders.length === 1 && holders[0]?.node === "n1" && !holders[0].isStopped ? true : undefined;
      });
      expect(await read()).toMatchObject({ nodeId: "n1", epoch: "3", state: "WORKLOAD_STATE_RUNNING" });
      expect((await cloud.call("DELETE", "/api/v2/workloads/half?force=true"))?.status).toBe(200);
    },
    120_000,
  );

  async function begin(): Promise<{ source: string; target: string }> {
    return until("both nodes to be able to move workloads", 100, 60_000, async () => {
      const workload = await cloud.call<{ workload: { nodeId: string; state: string } }>("GET", "/api/v2/workloads/demo");
      const nodes = await cloud.call<{
        nodes: { id: string; isConnected?: boolean; facts?: { capabilities?: { criu?: { available?: boolean } } } }[];
      }>("GET", "/api/v2/nodes");
      const able =
        nodes?.body?.nodes?.filter((node) => node.isConnected === true && node.facts?.capabilities?.criu?.available === true) ?? [];
      if (able.length < 2 || workload?.body?.workload?.state !== "WORKLOAD_STATE_RUNNING") return undefined;
      const source = workload.body.workload.nodeId;
      return { source, target: source === "n1" ? "n2" : "n1" };
    });
  }

  /** Core may die of the very request: the move is then found by what is on record. */
  async function migrate(): Promise<string> {
    const newest = async () =>
      (await cloud.call<{ migrations?: Migration[] }>("GET", "/api/v2/migrations?page.pageSize=1"))?.body?.migrations?.[0]?.id;
    const last = await newest();
    const answer = await cloud.call<{ migration?: Migration }>("POST", "/api/v2/workloads/demo:migrate", {});
    const id = answer?.body?.migration?.id;
    if (id !== undefined) return id;
    return until("the move to be on record", 100, 20_000, async () => {
      const now = await newest();
      return now !== undefined && now !== last ? now : undefined;
    });
  }

  const read = async (id: string) => (await cloud.call<{ migration: Migration }>("GET", `/api/v2/migrations/${id}`))?.body?.migration;

  async function cutAt(id: string, state: string, node: string): Promise<void> {
    await until(`the move to be ${state}, or over`, 2, 20_000, async () => {
      const now = await read(id);
      return now?.state === `MIGRATION_STATE_${state.toUpperCase()}` || now?.endedAt !== undefined ? true : undefined;
    }).catch(() => undefined);
    await cloud.cut(node, 2_500);
  }

  const endOf = (id: string) =>
    until(`the end of ${id}`, 100, 100_000, async () => {
      const now = await read(id);
      return now?.endedAt === undefined ? undefined : now;
    });

  /** One instance, where core says that it is, answering its client; nothing of it on the other node. */
  async function settled({ name }: Case, ended: Migration): Promise<void> {
    expect(["MIGRATION_STATE_DONE", "MIGRATION_STATE_ROLLED_BACK"], `${name}: ${ended.error?.message}`).toContain(ended.state);
    const place = ended.state === "MIGRATION_STATE_DONE" ? ended.targetNodeId : ended.sourceNodeId;
    if (ended.state === "MIGRATION_STATE_DONE") expect(ended.receipt).toBeDefined();
    let seen: unknown;
    await until(`one instance, on ${place}`, 100, 30_000, async () => {
      const [workload, holders] = [
        await cloud.call<{ workload: { nodeId: string; state: string } }>("GET", "/api/v2/workloads/demo"),
        await cloud.holders("demo"),
      ];
      seen = { workload: workload?.body?.workload, holders };
      const isOne = holders.length === 1 && holders[0]?.node === place && !holders[0].isStopped;
      return isOne && workload?.body?.workload?.nodeId === place && workload.body.workload.state === "WORKLOAD_STATE_RUNNING"
        ? true
        : undefined;
    }).catch((caught: unknown) => {
      throw new Error(`${name}: ${JSON.stringify(seen)}\n${cloud.log("core")}`, { cause: caught });
    });
    const answered = client.lastValue ?? 0;
    await until("the client to be answered", 20, 20_000, async () => ((client.lastValue ?? 0) > answered + 20 ? true : undefined));
    await sleep(50);
  }
});
