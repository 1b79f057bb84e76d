// redis with its append-only file, under redis-benchmark: every INCR that was answered is in memory and in the file.
import { run } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Topology } from "../engine/topology.ts";
import { missingFor, openHosts, startWorkload } from "./moving.ts";

const missing = missingFor({ path: "/usr/bin/redis-benchmark", get: "apt-get install redis-tools" });
const address = "10.213.1.1";
const server = [
  "redis-server --bind 0.0.0.0 --protected-mode no --dir /srv/aether-redis --save ''",
  "--appendonly yes --appendfsync everysec --enable-debug-command yes",
].join(" ");

describe.skipIf(missing !== undefined)(`redis with AOF${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let hosts: Topology;
  beforeAll(async () => {
    hosts = await openHosts("awr", 213);
  });
  afterAll(() => hosts?.close());
  const cli = async (...args: string[]) => (await run("redis-cli", ["-h", address, ...args], { deadlineMs: 20_000 })).stdout.trim();

  it("five moves under redis-benchmark: no INCR is lost, none is done twice, and the file agrees", async () => {
    const argv = ["/bin/sh", "-c", `mkdir -p /srv/aether-redis && exec ${server}`];
    const redis = await startWorkload(hosts, { name: "redis", address, argv }, async () => (await cli("ping")) === "PONG");
    let isOver = false;
    let rounds = 0;
    // 20 connections; -r 1 makes all of them count with one key. New rounds bring new connections, also in the middle of a move.
    const perRound = 20_000;
    const bench = (async () => {
      for (; !isOver; rounds++) {
        const args = ["-h", address, "-t", "incr", "-r", "1", "-c", "20", "-n", String(perRound), "-q"];
        await run("redis-benchmark", args, { deadlineMs: 120_000 });
      }
    })();
    bench.catch(() => undefined); // heard below
    try {
      await redis.moveFiveTimes(async () => {
        const before = Number(await cli("get", "counter:000000000000"));
        for (let i = 0; i < 200 && Number(await cli("get", "counter:000000000000")) < before + 2000; i++)
          await new Promise((resolve) => setTimeout(resolve, 20));
      });
      isOver = true;
      await bench;
      expect(rounds).toBeGreaterThan(0);
      expect(Number(await cli("get", "counter:000000000000"))).toBe(rounds * perRound);
      expect(await cli("debug", "loadaof")).toBe("OK");
      expect(Number(await cli("get", "counter:000000000000"))).toBe(rounds * perRound);
    } finally {
      isOver = true;
      await redis.remove();
    }
  });
});
