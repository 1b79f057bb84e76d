// Two links on loopback and two helpers, no namespaces and no criu: how a connection between helpers comes about, what goes over it, and how each side's end is seen.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@aether/kit";
import { nodeSpiffeId, openAuthority } from "@aether/kit/identity";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../../packages/engine/src/host.ts";
import { type Link, openLink } from "../../../packages/engine/src/link/link.ts";
import { helperToHelper, inviteHelper } from "../../../packages/engine/src/memory/carrier.ts";
import { helperTls } from "../../../packages/engine/src/memory/hand-over.ts";
import { type Helper, startHelper } from "../../../packages/engine/src/memory/helper.ts";
import { missingProgram, native } from "../native-program.ts";

const tls = await helperTls({ native });
const missing =
  missingProgram() ??
  (process.getuid?.() !== 0 ? "tracking another process needs root" : undefined) ??
  (tls === undefined ? "the native program was built without OpenSSL (libssl-dev)" : undefined);
const signal = AbortSignal.timeout(120_000);
const mebibytes = Number(process.env.AETHER_PAGES_MIB ?? 64);

describe.skipIf(missing !== undefined)(`a connection between two helpers${missing ? ` (skipped: ${missing})` : ""}`, () => {
  const dir = mkdtempSync(join(tmpdir(), "aether-helpers-"));
  const procs = join(dir, "procs");
  const running: Helper[] = [];
  let workload: ChildProcess;
  const hosts: Host[] = [];
  const links: Link[] = [];
  const [n1, n2] = [() => ({ host: hosts[0] as Host, link: links[0] as Link }), () => ({ host: hosts[1] as Host, link: links[1] as Link })];

  beforeAll(async () => {
    const authority = await openAuthority(dir, { trustDomain: "test.local" });
    for (const nodeId of ["n1", "n2"]) {
      const material = await authority.issueMaterial(nodeSpiffeId("test.local", nodeId), 3_600_000);
      const identity = { current: () => material, onRotate: () => () => undefined };
      const options = { identity, log: silentLogger, linkAddress: "127.0.0.1", linkPort: 0, tools: { native } };
      const host = { options, helperTls: tls } as unknown as Host;
      hosts.push(host);
      links.push(await openLink(host));
    }
    const program = join(dir, "random-memory");
    execFileSync("gcc", ["-O2", "-o", program, join(import.meta.dirname, "../../../bench/pages/random-memory.c")]);
    workload = spawn(program, [String(mebibytes)], { stdio: ["ignore", "pipe", "inherit"] });
    await once(workload.stdout!, "data");
    writeFileSync(procs, `${workload.pid}\n`);
  });
  afterEach(async () => {
    workload.kill("SIGCONT");
    for (const helper of running.splice(0)) {
      helper.kill();
      await helper.ended;
    }
  });
  afterAll(async () => {
    workload?.kill("SIGKILL");
    for (const link of links) await link.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const start = (host: Host, ...command: string[]) => {
    const helper = startHelper(host, [...command, "--data-fd", "3"]);
    running.push(helper);
    return helper;
  };

  /** A source on n1 and a keeper on n2; the source's start may be refused. */
  async function join2(target: Host = n2().host) {
    const keeper = start(n2().host, "memory-keep");
    await keeper.next("ready");
    const shut = n2().link.admit("m1", "n1", async ({ socket, header }) => {
      if (header.channel === "connection") await inviteHelper(target, n2().link, keeper, "n1", { socket });
      socket.end();
    });
    const peer = { nodeId: "n2", address: n2().link.address, port: n2().link.port };
    const carrier = helperToHelper(n1().host, n1().link, "m1", peer, signal);
    const source = start(n1().host, "memory-source", "--procs", procs, "--answers", join(dir, "answers"), ...carrier.options);
    const begun = carrier.start(source).finally(shut);
    return { keeper, source, begun };
  }
  async function pass(source: Helper, kind: string) {
    const done = source.next("round");
    source.send(kind);
    return done;
  }

  it("carries all memory, and the digests of both ends agree", async () => {
    const { keeper, source, begun } = await join2();
    await begun;
    await source.next("ready");
    const first = await pass(source, "round");
    const sentBytes = Number(first.bytes);
    expect(sentBytes).toBeGreaterThan(mebibytes << 20);
    expect(Number(first.wireBytes)).toBeGreaterThan(sentBytes);
    expect(Number(first.wireBytes)).toBeLessThan(sentBytes * 1.01);
    expect(Number(first.linkMs)).toBeGreaterThanOrEqual(0);
    if (process.env.AETHER_PAGES_MIB)
      console.error(JSON.stringify({ ...first, gigabytesPerSecond: sentBytes / Number(first.ms) / 1e6 }), cpu(source), cpu(keeper));
    workload.kill("SIGSTOP");
    source.send("frozen");
    const [left, arrived] = await Promise.all([source.next("sealed"), keeper.next("sealed")]);
    expect(arrived.keptPages).toBe(left.keptPages);
    expect(Number(left.keptPages)).toBeGreaterThan(mebibytes * 256);
    expect(keeper.take("space")).toEqual(source.take("space"));
  });

  it("a reader that stands still holds the passes up, and nothing is lost", async () => {
    const { keeper, source, begun } = await join2();
    await begun;
    await source.next("ready");
    process.kill(keeper.pid, "SIGSTOP");
    let isDone = false;
    const passing = pass(source, "round").then((line) => {
      isDone = true;
      return line;
    });
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(isDone).toBe(false);
    process.kill(keeper.pid, "SIGCONT");
    expect(Number((await passing).bytes)).toBeGreaterThan(mebibytes << 20);
  });

  it("each side's end is the other's, also when there is nothing to send", async () => {
    const one = await join2();
    await one.begun;
    await pass(one.source, "round");
    one.keeper.kill();
    await one.keeper.ended;
    await expect(pass(one.source, "fresh")).rejects.toThrow(/the target's end|stream of pages broke/);
    const two = await join2();
    await two.begun;
    await pass(two.source, "round");
    two.source.kill();
    await expect(two.keeper.next("sealed")).rejects.toThrow("the stream of pages broke");
  });

  it("an agent that goes away in the middle of a pass takes its helper with it", async () => {
    const { keeper, source, begun } = await join2();
    await begun;
    process.kill(keeper.pid, "SIGSTOP");
    const passing = pass(source, "round");
    passing.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 300));
    source.data.destroy();
    await expect(passing).rejects.toThrow("the stream of pages broke");
    process.kill(keeper.pid, "SIGCONT");
  });

  it("a target without TLS of its own says so", async () => {
    const { begun } = await join2({ ...n2().host, helperTls: undefined });
    await expect(begun).rejects.toThrow("n2: its native program was built without OpenSSL");
  });
});

/** Processor seconds so far. */
function cpu(helper: Helper): number {
  const fields = execFileSync("cat", [`/proc/${helper.pid}/stat`], { encoding: "utf8" })
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
