// Freeze, client gap and total of one move, for a small and a large redis: a careful script with criu alone, and the product, alternating in one run.
//   npm run bench:first-migration -- [--runs 7] [--sizes 1,1000] [--out FILE] [--dir DIR]
// Starts a local cloud of its own and takes it down again, or uses that of DIR. Needs root, redis-server and redis-cli; a size takes about three
// minutes for 7 runs, 1 GiB about twice that, and 5 GB of memory.
import { writeFile } from "node:fs/promises";
import { cpus, release, totalmem } from "node:os";
import { parseArgs } from "node:util";
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
  },
});
const runs = Number(values.runs);
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
    let move = 0;
    for (let i = 0; i < runs; i++) {
      keep("bare criu script", await measureBare(hosts, values.criu, size));
      for (const mode of values.modes.split(","))
        keep(modeName(mode), await measureMove(cloud, name, address, move++ % 2 === 0 ? "n2" : "n1", mode));
    }
    for (const [method, all] of measured) rows.push({ sizeMb: size, method, measured: all });
    await removeWorkload(cloud, name);
  }
} finally {
  await hosts?.close();
  await own.close();
}
const machine = `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, Node ${process.version}`;
const text = report(rows, machine, runs);
if (values.out === undefined) console.log(text);
else await writeFile(values.out, text);

function modeName(mode: string): string {
  return `aether ${mode.replace("MIGRATION_MODE_", "").toLowerCase().replaceAll("_", "-")}`;
}
