// Where the milliseconds of a freeze go: two engines and no control plane, one redis, moved there and back. Each phase is shown by when it begins and how long it takes, counted
// from the cut of the network; with --log also criu's own words with its clock.
//   npm run bench:freeze -- [--size 1] [--dirty 0] [--moves 10] [--mode pre-copy] [--criu FILE] [--log FOLDER] [--json FILE]
// Needs root, redis-server and redis-cli. For A against B give --criu A,B: they are taken in turn within one run.
import "../help.ts";
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { run, sleep, until } from "@aether/kit";
import { type EngineHost, openTopology, specOf } from "../../tests/e2e/engine/topology.ts";
import { startClient } from "../first-migration/client.ts";
import { fillArgv, keysOf, redisArgv } from "../first-migration/redis.ts";
import { watchedAfterMs } from "../first-migration/waits.ts";

const { values } = parseArgs({
  options: {
    size: { type: "string", default: "1" },
    dirty: { type: "string", default: "0" },
    moves: { type: "string", default: "10" },
    mode: { type: "string", default: "pre-copy" },
    criu: { type: "string", default: "/opt/aether/criu/bin/criu" },
    log: { type: "string" },
    json: { type: "string" },
  },
});
const address = "10.219.1.1";
const name = "bench";

interface PhaseLine {
  readonly name: string;
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly facts: Readonly<Record<string, string>>;
}

interface Sample {
  readonly variant: string;
  readonly freezeMs: number;
  readonly gapMs: number;
  readonly beforeMs: number;
  readonly over50: number;
  readonly worstAfterMs: number;
  readonly wrong: number;
  readonly error: string | null;
  /** By name: begin and length, ms, from the cut. */
  readonly phases: Readonly<Record<string, readonly [number, number]>>;
  readonly facts: Readonly<Record<string, string>>;
}

/** criu at its most talkative, whose logs are kept; a level more than the engine asks for costs some milliseconds. */
function talkative(criu: string, folder: string): string {
  mkdirSync(folder, { recursive: true });
  const file = join(tmpdir(), `aether-bench-criu-${process.pid}`);
  const keep = `for a in "$@"; do [ "$p" = -D ] && d=$a; [ "$p" = -o ] && o=$a; p=$a; done`;
  writeFileSync(file, `#!/bin/sh\n${keep}\n${criu} "$@" -v4; c=$?\ncp "$d/$o" "${folder}/$(date +%s%N)-$o" 2>/dev/null\nexit $c\n`);
  chmodSync(file, 0o755);
  return file;
}

async function move(id: number, from: EngineHost, to: EngineHost, variant: string): Promise<Sample> {
  const client = startClient(address);
  await sleep(1000);
  const askedMs = Date.now();
  const ref = { migrationId: `bench-${id}`, workload: name, epoch: id };
  const spec = specOf(name, address, [...redisArgv]);
  const ready = await to.call("prepare", ref, spec, from.id, values.mode);
  const peer = { nodeId: to.id, address: ready.linkAddress, port: ready.linkPort };
  await from.call("copy", ref, peer, values.mode);
  await Promise.all([from.call("phases"), to.call("phases")]);
  const [frozen] = await Promise.all([from.call("freeze", ref, peer, values.mode), to.call("restore", ref, values.mode)]);
  const resumed = await to.call("resume", ref);
  await Promise.all([to.call("drainPages", ref), sleep(watchedAfterMs)]);
  await from.call("release", ref);
  const saw = await client.stop({ askedMs, cutMs: frozen.frozenAtMs, resumedMs: frozen.frozenAtMs + resumed.freezeMs });
  const all: PhaseLine[] = (await Promise.all([from.call("phases"), to.call("phases")])).flat();
  return {
    variant,
    freezeMs: resumed.freezeMs,
    gapMs: saw.gapMs,
    beforeMs: saw.beforeMs,
    over50: saw.stallsAfter,
    worstAfterMs: saw.worstAfterMs,
    wrong: saw.wrongCount,
    error: saw.error,
    phases: Object.fromEntries(all.map((one) => [one.name, [one.startedAtMs - frozen.frozenAtMs, one.durationMs]])),
    facts: Object.assign({}, ...all.map((one) => one.facts)),
  };
}

const samples: Sample[] = [];
const variants = values.criu.split(",");
for (const criu of variants) {
  const hosts = await openTopology("bfz", 219, { criu: values.log === undefined ? criu : talkative(criu, values.log) });
  let writer: ReturnType<typeof spawn> | undefined;
  try {
    await hosts.a.call("start", specOf(name, address, [...redisArgv]), 1);
    await until("redis to answer", 50, 10_000, async () => {
      const asked = await run("redis-cli", ["-h", address, "ping"], { deadlineMs: 5000, okCodes: [0, 1] });
      return asked.stdout.includes("PONG") ? true : undefined;
    });
    await run("redis-cli", fillArgv(address, Number(values.size)), { deadlineMs: 120_000 });
    if (Number(values.dirty) > 0)
      writer = spawn(
        process.execPath,
        [join(import.meta.dirname, "../migration/load.ts"), address, String(keysOf(Number(values.size))), values.dirty],
        { stdio: "ignore" },
      );
    for (let i = 1; i <= Number(values.moves); i++) {
      const [from, to] = i % 2 === 1 ? [hosts.a, hosts.b] : [hosts.b, hosts.a];
      const one = await move(i, from, to, criu);
      samples.push(one);
      const ms = (value: number) => value.toFixed(0);
      console.error(
        `${i} ${criu}: freeze ${ms(one.freezeMs)} gap ${ms(one.gapMs)} worst after ${ms(one.worstAfterMs)} over 50: ${one.over50} ${one.error ?? ""} load ${loadavg()[0]?.toFixed(1)}`,
      );
    }
  } finally {
    writer?.kill("SIGKILL");
    await hosts.close();
  }
}

const quantile = (of: readonly number[], share: number) =>
  [...of].sort((a, b) => a - b)[Math.min(of.length - 1, Math.floor(of.length * share))] ?? Number.NaN;
console.log(
  `redis of ${values.size} MB, ${values.dirty} MB/s written, ${values.mode}; ${cpus().length} x ${cpus()[0]?.model}, Linux ${release()}, load ${loadavg()[0]?.toFixed(1)}`,
);
for (const variant of variants) {
  const ours = samples.filter((one) => one.variant === variant);
  const show = (label: string, pick: (one: Sample) => number) => {
    const all = ours.map(pick).filter((value) => Number.isFinite(value));
    return `${label.padEnd(22)} ${[0, 0.5, 0.99].map((share) => quantile(all, share).toFixed(1).padStart(8)).join("")}`;
  };
  console.log(`\n${variant}, ${ours.length} moves; ms           min     p50     p99`);
  console.log(show("freeze", (one) => one.freezeMs));
  console.log(show("client gap", (one) => one.gapMs));
  console.log(show("gap over freeze", (one) => one.gapMs - one.freezeMs));
  console.log(show("worst answer before", (one) => one.beforeMs));
  console.log(show("worst answer in 5 s", (one) => one.worstAfterMs));
  console.log(show("answers over 50 ms", (one) => one.over50));
  const names = [...new Set(ours.flatMap((one) => Object.keys(one.phases)))];
  const of = (phase: string, at: 0 | 1, share: number) => {
    const all = ours.map((one) => one.phases[phase]?.[at] ?? Number.NaN);
    return quantile(
      all.filter((value) => Number.isFinite(value)),
      share,
    );
  };
  console.log("phase                     begins   lasts (medians)   least");
  for (const phase of names.sort((a, b) => of(a, 0, 0.5) - of(b, 0, 0.5))) {
    const [begins, lasts, least] = [of(phase, 0, 0.5), of(phase, 1, 0.5), of(phase, 1, 0)].map((value) => value.toFixed(1));
    console.log(`${phase.padEnd(22)} ${begins?.padStart(9)} ${lasts?.padStart(7)} ${least?.padStart(17)}`);
  }
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(samples, null, 1)}\n`);
