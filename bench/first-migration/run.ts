// Freeze, client gap and total of one move, for a small and a large redis: a careful script with criu alone, and the product, alternating in one run.
//   npm run bench:first-migration -- [--runs 7] [--sizes 1,1000] [--out FILE | --page docs/benchmarks.md] [--dir DIR]
// Prints its table, or writes it to FILE, or between the two comments that a page has for it. Starts a local cloud of its own and takes it down again, or uses
// that of DIR. Needs root, redis-server and redis-cli; 1 MB takes about four minutes for 7 runs, 1 GB about twice that, and 5 GB of memory.
import "../help.ts";
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { putBetween } from "../put-between.ts";
import { told, whereNow } from "../where.ts";
import { type Measured, measureBare } from "./bare.ts";
import { type Hosts, openHosts } from "./hosts.ts";
import { openOwnCloud } from "./own-cloud.ts";
import { measureMove, openCloud, removeWorkload, startRedis } from "./product.ts";
import { type Row, report } from "./report.ts";

const { values } = parseArgs({
  options: {
    dir: { type: "string" },
    runs: { type: "string", default: "7" },
    sizes: { type: "string", default: "1,1000" },
    criu: { type: "string", default: "/opt/aether/criu/bin/criu" },
    modes: { type: "string", default: "MIGRATION_MODE_STOP_AND_COPY,MIGRATION_MODE_POST_COPY,MIGRATION_MODE_PRE_COPY" },
    out: { type: "string" },
    page: { type: "string" },
  },
});
const runs = Number(values.runs);
const machine = told(await whereNow());
const own = await openOwnCloud(values.dir);
let hosts: Hosts | undefined;
const rows: Row[] = [];
try {
  const cloud = await openCloud(own.dir);
  hosts = await openHosts();
  for (const size of values.sizes.split(",").map(Number)) {
    const name = `bench-${size}`;
    const address = await startRedis(cloud, name, size);
    const measured = new Map<string, Measured[]>();
    const keep = (method: string, one: Measured) => {
      measured.set(method, [...(measured.get(method) ?? []), one]);
      console.error(
        `${size} MB ${method}: freeze ${one.freezeMs.toFixed(0)} gap ${one.gapMs.toFixed(0)} total ${one.totalMs.toFixed(0)} ms ${one.error ?? ""}`,
      );
    };
    let isOnTarget = false;
    for (let i = 0; i < runs; i++) {
      keep("bare criu script", await measureBare(hosts, values.criu, size).catch(failed));
      for (const mode of values.modes.split(",")) {
        const one = await measureMove(cloud, name, address, isOnTarget ? "n1" : "n2", mode).catch(failed);
        // A move that failed left it where it was.
        if (Number.isFinite(one.freezeMs)) isOnTarget = !isOnTarget;
        keep(modeName(mode), one);
      }
    }
    for (const [method, all] of measured) rows.push({ sizeMb: size, method, measured: all });
    await removeWorkload(cloud, name);
  }
} finally {
  await hosts?.close();
  await own.close();
}
/** A row of the table too: the others of the run are not lost for it. */
function failed(cause: unknown): Measured {
  const nothing = Number.NaN;
  const waits = { gapMs: nothing, beforeMs: nothing, stallsBefore: 0, worstAfterMs: nothing, stallsAfter: 0 };
  return { ...waits, freezeMs: nothing, totalMs: nothing, wrongCount: 0, error: String(cause), detail: {} };
}

const text = report(rows, machine, runs);
if (values.page !== undefined)
  await writeFile(values.page, putBetween(await readFile(values.page, "utf8"), "bench/first-migration/run.ts", text));
else if (values.out !== undefined) await writeFile(values.out, text);
else console.log(text);

function modeName(mode: string): string {
  return `aether ${mode.replace("MIGRATION_MODE_", "").toLowerCase().replaceAll("_", "-")}`;
}
