// Nodes that fall silent together, as a zone does that is cut off.
import { silentLogger } from "@aether/kit";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openScratchDatabase } from "../db/scratch-database.ts";
import { createEvents } from "../events/events.ts";
import { insertNodes, insertWorkload } from "../migration/scripted-agents.ts";
import { createMonitor } from "./monitor.ts";
import { createSignalIntake } from "./signal-intake.ts";

let open: Awaited<ReturnType<typeof openScratchDatabase>>;
beforeAll(async () => {
  open = await openScratchDatabase();
}, 60_000);
afterAll(() => open.close());

it("marks all of them in one transaction, but not the one that comes back meanwhile", async () => {
  const { db } = open;
  const events = createEvents(db, open.notices);
  const lost = ["a", "b", "c"];
  await insertNodes(db, [...lost, "back"]);
  for (const [i, id] of lost.entries()) await insertWorkload(db, `on-${id}`, id, `10.1.0.${i + 1}`);
  let monotonicMs = 0;
  const clock = { nowMs: () => 1_000_000, monotonicMs: () => monotonicMs };
  const told: string[] = [];
  let asked = 0;
  const gateway = {
    connectedNodes: () => [],
    lastHeardMs: () => undefined,
    // Its hello arrives after it was found silent and before that is on record.
    isHeard: (id: string) => id === "back" && ++asked > 1,
    isConnected: () => false,
    end: () => {},
    tellSignal: (signal: { node_id: string }) => void told.push(signal.node_id),
  };
  const monitor = createMonitor({
    ...{ db, events, clock, log: silentLogger, lostAfterMs: 15_000 },
    gateway: gateway as unknown as Parameters<typeof createMonitor>[0]["gateway"],
    memory: { takeHeard: () => new Map() } as unknown as Parameters<typeof createMonitor>[0]["memory"],
    reports: { writeUsage: async () => {} },
    signals: createSignalIntake(db, events, clock.nowMs),
  });
  await monitor.sweep();
  monotonicMs = 16_000;
  await monitor.sweep();

  expect([...told].sort()).toEqual(lost);
  const nodes = await sql<{ id: string; transaction: string }>`
    select id, xmin::text as transaction from nodes where lost_at is not null order by id`.execute(db);
  expect(nodes.rows.map(({ id }) => id)).toEqual(lost);
  expect(new Set(nodes.rows.map(({ transaction }) => transaction)).size).toBe(1);
  const workloads = await db.selectFrom("workloads").select(["name", "state", "reason"]).orderBy("name").execute();
  expect(workloads).toEqual(lost.map((id) => ({ name: `on-${id}`, state: "lost", reason: `its node ${id} is not heard` })));
  const said = await db.selectFrom("events").select(["type", "subject"]).where("type", "like", "%.lost").execute();
  expect(said.map(({ type, subject }) => `${type} ${subject}`).sort()).toEqual([
    ...lost.map((id) => `node.lost node/${id}`),
    ...lost.map((id) => `workload.lost workload/on-${id}`),
  ]);
});
