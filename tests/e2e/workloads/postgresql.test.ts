// PostgreSQL under pgbench: a tree of processes with shared memory, unix sockets and a write-ahead log. No transaction fails, and in the end
// accounts, tellers, branches and history add up to the same sum.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Topology } from "../engine/topology.ts";
import { missingFor, openHosts, startWorkload } from "./moving.ts";

const address = "10.214.1.1";
const bin = programs();
const missing = missingFor(
  { path: join(bin, "postgres"), get: "apt-get install postgresql" },
  { path: "/usr/bin/setpriv", get: "apt-get install util-linux" },
);

/** The newest installed version's programs. */
function programs(): string {
  const root = "/usr/lib/postgresql";
  try {
    const versions = readdirSync(root).sort((a, b) => Number(b) - Number(a));
    return join(root, versions[0] ?? "none", "bin");
  } catch {
    return join(root, "none", "bin");
  }
}

describe.skipIf(missing !== undefined)(`PostgreSQL${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let hosts: Topology;
  beforeAll(async () => {
    hosts = await openHosts("awp", 214);
  });
  afterAll(() => hosts?.close());
  const login = ["-h", address, "-U", "postgres"];
  const sql = async (text: string) =>
    (await run(join(bin, "psql"), [...login, "-Atc", text, "postgres"], { deadlineMs: 20_000 })).stdout.trim();

  it("five moves under pgbench: no transaction fails, balances add up", async () => {
    const data = "/srv/aether-postgresql";
    const settings = [`listen_addresses=${address}`, "unix_socket_directories=/tmp", "huge_pages=off", "max_connections=20"];
    const as = "setpriv --reuid=postgres --regid=postgres --clear-groups --inh-caps=-all";
    const script = [
      `mkdir -p ${data} && chown postgres ${data}`,
      `[ -e ${data}/PG_VERSION ] || ${as} ${bin}/initdb -D ${data} -A trust -E UTF8 --locale=C --no-sync >/dev/null`,
      `echo 'host all all 0.0.0.0/0 trust' >> ${data}/pg_hba.conf`,
      `exec ${as} ${bin}/postgres -D ${data} ${settings.map((each) => `-c ${each}`).join(" ")}`,
    ].join(" && ");
    const postgres = await startWorkload(
      hosts,
      { name: "postgres", address, argv: ["/bin/sh", "-c", script], more: { workingDirectory: "/tmp" } },
      async () => (await sql("select 1")) === "1",
    );
    try {
      await run(join(bin, "pgbench"), [...login, "-i", "-s", "1", "-q", "postgres"], { deadlineMs: 60_000 });
      const ending = new AbortController();
      const seconds = 200; // ended by us long before
      const bench = run(join(bin, "pgbench"), [...login, "-n", "-c", "4", "-j", "2", "-R", "200", "-T", String(seconds), "postgres"], {
        deadlineMs: (seconds + 20) * 1000,
        signal: ending.signal,
      });
      const ended = bench.then(
        () => "ended early",
        (caught: unknown) => caught,
      );
      let problem: unknown;
      ended.then((how) => {
        problem = how;
      });
      let done = 0;
      await postgres.moveFiveTimes(async () => {
        const goal = done + 50;
        for (let i = 0; i < 400 && done < goal; i++) {
          done = Number(await sql("select count(*) from pgbench_history"));
          await new Promise((resolve) => setTimeout(resolve, 25));
        }
        expect([problem, done]).toEqual([undefined, expect.any(Number)]);
        expect(done).toBeGreaterThanOrEqual(goal);
      });
      // It is ended by us, in the middle: everything that was committed must add up all the same.
      ending.abort(new Error("enough"));
      expect(await ended).toMatchObject({ message: "enough" });
      const sums = await sql(
        `select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
                (select sum(bbalance) from pgbench_branches), (select sum(delta) from pgbench_history)`,
      );
      expect(new Set(sums.split("|")).size, sums).toBe(1);
      expect(await sql("select count(*) from pgbench_accounts where abalance is null")).toBe("0");
      expect(await postgres.host().call("logs", "postgres")).not.toMatch(
        /PANIC|terminated by signal|could not (?!receive data from client)/,
      );
    } finally {
      await postgres.remove();
    }
  });
});
