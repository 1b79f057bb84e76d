// What it costs to know how fast a workload writes: the looks that an agent takes at each workload's memory (200 ms in every minute), for the processor and for the
// workload, which pays a fault for each page that it writes first while it is looked at. Baseline: the same writer, that nobody looks at.
//   npm run bench:tracking -- [--memory 16,256,1024] [--dirty 0,50] [--looks 20] [--pairs 3]
// Needs root, gcc, and a kernel that tracks writes (6.7).
import "../help.ts";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    memory: { type: "string", default: "16,256,1024" },
    dirty: { type: "string", default: "0,50" },
    looks: { type: "string", default: "20" },
    pairs: { type: "string", default: "3" },
  },
});
const native = join(import.meta.dirname, "../../native/build/aether-native");
const looks = Number(values.looks);
/** As the agent looks (packages/engine/src/memory/dirty-rate.ts), and how often (packages/agent/src/host/telemetry.ts). */
const [windowMs, everyMs] = [200, 60_000];
/** USER_HZ of every Linux that Node runs on. */
const ticksPerSecond = 100;

/** Processor time of the children that have ended, s. */
function childSeconds(): number {
  const fields = readFileSync("/proc/self/stat", "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[13]) + Number(fields[14])) / ticksPerSecond;
}

const median = (of: readonly number[]) => [...of].sort((a, b) => a - b)[Math.floor(of.length / 2)] ?? Number.NaN;

const folder = mkdtempSync(join(tmpdir(), "aether-bench-tracking-"));
const program = join(folder, "writer");
try {
  execFileSync("gcc", ["-O2", "-o", program, join(import.meta.dirname, "writer.c")]);
  console.log(
    "| memory | writes | look, CPU ms | of a core, one look a minute | said, MB/s | a written page, ns: alone | looked at all the time |",
  );
  console.log("|---|---|---|---|---|---|---|");
  for (const memory of values.memory.split(",").map(Number))
    for (const dirty of values.dirty.split(",").map(Number)) console.log(await row(memory, dirty));
  console.log(
    `\n${looks} looks a pair, ${values.pairs} pairs. Machine: ${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, Linux ${release()}, load ${loadavg()[0]?.toFixed(1)}.`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Microseconds of processor time and pages written so far, once a second. */
type Told = readonly [number, number];

async function row(memoryMib: number, dirtyMb: number): Promise<string> {
  const writer = spawn(program, [String(memoryMib), String(dirtyMb * 1e6)], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const lines = createInterface({ input: writer.stdout })[Symbol.asyncIterator]();
    const told = async (): Promise<Told> => {
      const [us = 0, pages = 0] = String((await lines.next()).value)
        .split(" ")
        .map(Number);
      return [us, pages];
    };
    const procs = join(folder, "procs");
    writeFileSync(procs, `${writer.pid}\n`);
    await told();
    const [alone, watched, cpu, said]: [number[], number[], number[], number[]] = [[], [], [], []];
    for (let pair = 0; pair < Number(values.pairs); pair++) {
      alone.push(await nanosecondsAPage(told, async () => void (await told())));
      watched.push(
        await nanosecondsAPage(told, async () => {
          const before = childSeconds();
          for (let look = 0; look < looks; look++) said.push(await lookAt(procs));
          cpu.push(((childSeconds() - before) / looks) * 1000);
        }),
      );
    }
    const rate = (median(said) / 1e6).toFixed(dirtyMb === 0 ? 0 : 1);
    const show = (of: readonly number[]) => (dirtyMb === 0 ? "-" : median(of).toFixed(0));
    return `| ${memoryMib} MiB | ${dirtyMb} MB/s | ${median(cpu).toFixed(1)} | ${((median(cpu) / everyMs) * 100).toFixed(3)} % | ${rate} | ${show(alone)} | ${show(watched)} |`;
  } finally {
    writer.kill("SIGKILL");
  }
}

/** Runs `during` and some whole seconds of the writer around it; its processor time for a page in them. */
async function nanosecondsAPage(told: () => Promise<Told>, during: () => Promise<void>): Promise<number> {
  const before = await told();
  await during();
  let after = await told();
  // What was said while `during` ran is still in the pipe.
  for (const untilMs = performance.now() + 900; performance.now() < untilMs; ) after = await told();
  return ((after[0] - before[0]) * 1000) / (after[1] - before[1]);
}

async function lookAt(procs: string): Promise<number> {
  const child = spawn(native, ["dirty-rate", "--procs", procs, "--window-ms", String(windowMs)], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  await new Promise<void>((resolve) => child.once("close", () => resolve()));
  return (JSON.parse(text) as { bytesPerSecond: number }).bytesPerSecond;
}
