// One host of an engine test, in a process of its own inside the host's network namespace. Commands come as JSON lines {id, path, args} on standard
// input, answers go as {id, ok | error} to standard output. Runs the built packages, as a node does.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createEngine, type Engine, type Progress } from "@aether/engine";
import { armFaultpoint, createLogger } from "@aether/kit";

const config = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8"));
const engine: Engine = await createEngine({
  ...config.engine,
  ...(process.env.TEST_PACKET_HOLD && { packetHold: [process.env.TEST_PACKET_HOLD] }),
  tools: {
    ...config.engine.tools,
    ...(process.env.TEST_CRIU && { criu: process.env.TEST_CRIU }),
    ...(process.env.TEST_NATIVE && { native: process.env.TEST_NATIVE }),
  },
  identity: { current: () => config.identity, onRotate: () => () => undefined },
  log: createLogger({ name: config.engine.hostId, level: "warn" }),
});
await engine.recover(AbortSignal.timeout(30_000));

const armed: (() => void)[] = [];
const phases: unknown[] = [];
const progress: Progress = { phase: (one) => phases.push(one), bytes: () => undefined };
const asText = (_: string, value: unknown) => (typeof value === "bigint" ? String(value) : value);
const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line, asText)}\n`);

const snapshotKey = { id: "test", key: new Uint8Array(32).fill(7) };

const calls: Record<string, (args: any[], signal: AbortSignal) => Promise<unknown>> = {
  canary: (_, signal) => engine.canary(signal),
  start: ([spec, epoch], signal) => engine.runtime.start(spec, epoch, signal),
  stop: ([name], signal) => engine.runtime.stop(name, 2000, signal),
  remove: ([name], signal) => engine.runtime.remove(name, signal),
  list: () => engine.runtime.list(),
  usage: ([name]) => engine.runtime.usage(name),
  exec: async ([name, argv], signal) => {
    const done = await engine.runtime.exec(name, argv, 10_000, signal);
    return { ...done, stdout: Buffer.from(done.stdout).toString(), stderr: Buffer.from(done.stderr).toString() };
  },
  logs: async ([name], signal) => {
    let text = "";
    for await (const chunk of engine.runtime.logs(name, { follow: false, tailLines: 0 }, signal)) text += Buffer.from(chunk).toString();
    return text;
  },
  preflight: ([name, mode, target, known], signal) => engine.source.preflight(name, mode, target, known ?? {}, signal),
  prepare: ([ref, spec, node, mode], signal) => engine.target.prepare(ref, spec, node, mode, progress, signal),
  copy: ([ref, peer, mode, limits], signal) => engine.source.copy(ref, peer, mode, limits ?? {}, progress, signal),
  freeze: ([ref, peer, mode], signal) => engine.source.freeze(ref, peer, mode, progress, signal),
  restore: ([ref, mode], signal) => engine.target.restore(ref, mode, progress, signal),
  resume: ([ref], signal) => engine.target.resume(ref, progress, signal),
  drainPages: ([ref], signal) => engine.target.drainPages(ref, progress, signal),
  abort: ([ref], signal) => engine.target.abort(ref, progress, signal),
  thaw: ([ref], signal) => engine.source.thaw(ref, progress, signal),
  release: ([ref], signal) => engine.source.release(ref, progress, signal),
  snapshot: ([name, id, limits], signal) => engine.snapshots.create(name, id, snapshotKey, limits ?? {}, progress, signal),
  restoreSnapshot: ([id, spec, epoch], signal) => engine.snapshots.restore(id, spec, epoch, snapshotKey, progress, signal),
  verifySnapshot: ([id, spec]) => engine.snapshots.verify(id, spec, progress),
  removeSnapshot: ([id]) => engine.snapshots.remove(id),
  inspect: async ([name], signal) => (await engine.inspect(name, signal)).report.blockers,
  probeKernel: (_, signal) => engine.kernel.probe(signal),
  kernelFacts: ([name]) => engine.kernel.facts(name),
  arm: async ([name, action]) => {
    armed.push(armFaultpoint(name, action));
  },
  disarm: async () => {
    for (const disarm of armed.splice(0)) disarm();
  },
  phases: async () => phases.splice(0),
};

createInterface({ input: process.stdin }).on("line", (text) => {
  const { id, path, args } = JSON.parse(text);
  const call = calls[path];
  if (call === undefined) return say({ id, error: { message: `no call ${path}` } });
  call(args, AbortSignal.timeout(90_000)).then(
    (ok) => say({ id, ok: ok ?? null }),
    (error) => say({ id, error: { code: error.code ?? "", message: String(error.message), details: error.details } }),
  );
});
process.stdin.on("end", () => process.exit(0));
say({ id: 0, ok: engine.link });
