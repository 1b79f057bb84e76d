// The database half of the crash matrix: a PostgreSQL server is killed in the middle of a move and comes back. However it ends, one instance runs.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, sleep, until } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type OpenDatabase, openDatabase } from "../db/database.ts";
import { createEvents } from "../events/events.ts";
import { railLimits } from "../guard/rails.ts";
import { postgresIsMissing } from "../testing/postgres-programs.ts";
import { type PostgresServer, startPostgres } from "../testing/postgres-server.ts";
import { createReconciler } from "./reconcile.ts";
import { createScriptedFleet, insertNodes, insertWorkload } from "./scripted-agents.ts";
import { startMigration } from "./start.ts";

const why = postgresIsMissing === undefined ? "" : ` (skipped: ${postgresIsMissing})`;
describe.skipIf(postgresIsMissing !== undefined)(`a move whose database dies${why}`, () => {
  let server: PostgresServer;
  let database: OpenDatabase;
  let dir: string;
  let count = 0;
  const nowMs = () => Date.now();
  const limits = railLimits({ atOnce: 32, atOnceEachNode: 4, restSeconds: 600, circuitFailures: 3, circuitSeconds: 600 });
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "aether-core-"));
    server = await startPostgres();
    database = await openDatabase({ dataDir: dir, postgres: await server.createDatabase() });
    await insertNodes(database.db, ["n1", "n2"]);
  }, 60_000);
  afterAll(async () => {
    await database?.close();
    await server?.stop();
    if (dir !== undefined) await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  });

  it.each(["preflight", "copy", "freeze", "restore", "resume", "release"])(
    "while %s is under way",
    async (step) => {
      const name = `loss-${step}`;
      const events = createEvents(database.db, database.notices);
      await insertWorkload(database.db, name, "n1", `10.77.3.${++count}`);
      const fleet = createScriptedFleet({ db: database.db, events, nodeIds: ["n1", "n2"], nowMs });
      let isKilled = false;
      for (const node of fleet.nodes.values()) {
        node.script = (action) => {
          if (action === step && !isKilled) {
            isKilled = true;
            void server.kill().then(async () => {
              await sleep(300);
              await server.start();
            });
          }
          return "ok";
        };
        await node.connect();
      }
      fleet.nodes.get("n1")!.has.set(name, "running");
      // A session ends when what an agent says cannot be kept; real agents come back by themselves.
      const back = setInterval(() => {
        for (const node of fleet.nodes.values()) if (!fleet.gateway.isConnected(node.id)) void node.connect();
      }, 250);
      const reconciler = createReconciler({
        db: database.db,
        events,
        sessions: fleet.gateway,
        limits,
        log: silentLogger,
        nowMs,
        sweepMs: 100,
      });
      const life = new AbortController();
      await reconciler.start(life.signal);
      const parts = { db: database.db, events, sessions: fleet.gateway, limits, nowMs };
      const id = await startMigration(parts, {
        workload: name,
        targetNodeId: undefined,
        mode: "auto",
        cause: "operator",
        traceId: "ab".repeat(16),
      });
      reconciler.wake(id);
      const ended = await until(`the end of ${id}`, 50, 40_000, async () => {
        const row = await database.db
          .selectFrom("migrations")
          .selectAll()
          .where("id", "=", id)
          .where("ended_at", "is not", null)
          .executeTakeFirst()
          .catch(() => undefined);
        return row ?? undefined;
      });
      expect(isKilled).toBe(true);
      expect(["done", "rolled_back"]).toContain(ended.state);
      const place = ended.state === "done" ? "n2" : "n1";
      const active = await database.db
        .selectFrom("placements")
        .selectAll()
        .where("workload", "=", name)
        .where("is_active", "=", true)
        .execute();
      expect(active.map((each) => each.node_id)).toEqual([place]);
      const running = [...fleet.nodes.values()].filter((node) => node.has.get(name) === "running").map(({ id: node }) => node);
      expect(running).toEqual([place]);
      for (const node of fleet.nodes.values())
        expect(new Set(node.begun.map((each) => each.id)).size, "a command was begun twice").toBe(node.begun.length);
      clearInterval(back);
      life.abort();
      await reconciler.stop();
      fleet.stop();
    },
    60_000,
  );
});
