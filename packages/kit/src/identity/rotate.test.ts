// The clock is the test's: a pause moves it, so that an hour of certificate life takes no time.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createManualClock } from "../clock.ts";
import { type Logger, silentLogger } from "../log.ts";
import { sleep } from "../wait.ts";
import { openAuthority } from "./authority.ts";
import { createRotatingIdentity, identityFile, type RotatingIdentity, type RotatingIdentityOptions, renewalDueAtMs } from "./rotate.ts";
import type { IdentityMaterial } from "./source.ts";
import { connectMutualTls, createMutualTlsServer } from "./tls.ts";

const hour = 3_600_000;
const node = "spiffe://aether.local/node/n1";
let dir: string;
const started: RotatingIdentity[] = [];
const never = new AbortController().signal;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-rotate-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));
afterEach(async () => {
  for (const identity of started.splice(0)) await identity.stop();
});

let files = 0;
async function setUp(overrides: Partial<RotatingIdentityOptions> = {}) {
  const clock = createManualClock(1_800_000_000_000);
  const authority = await openAuthority(join(dir, "ca"), { trustDomain: "aether.local", clock });
  const said: string[] = [];
  const hear = (facts: object, message?: string) => said.push(`${message} ${"code" in facts ? facts.code : ""}`.trim());
  const log = { ...silentLogger, child: silentLogger.child, info: hear, warn: hear, error: hear } as unknown as Logger;
  const file = identityFile(join(dir, `${files++}.json`));
  let isHeld = false;
  const options: RotatingIdentityOptions = {
    ...file,
    renew: () => authority.issueMaterial(node, hour),
    clock,
    log,
    random: () => 0,
    pause: async (ms, signal) => {
      await sleep(0, signal);
      while (isHeld) await sleep(1, signal);
      clock.advance(ms);
    },
    ...overrides,
  };
  const identity = createRotatingIdentity(options);
  started.push(identity);
  /** Time stands still until it is let go. */
  const hold = (value: boolean) => {
    isHeld = value;
  };
  return { clock, authority, said, file, identity, options, hold };
}

describe("a rotating identity", () => {
  it("asks for its first certificate, stores it, and renews at half of its life", async () => {
    const { identity, clock, file, hold } = await setUp();
    const startMs = clock.nowMs();
    expect(() => identity.current()).toThrow(expect.objectContaining({ code: "UNAVAILABLE" }));
    hold(true);
    await identity.start(never);
    const first = identity.current();
    expect(await file.load()).toEqual(first);
    const rotated = new Promise<{ material: IdentityMaterial; atMs: number }>((resolve) =>
      identity.onRotate((material) => resolve({ material, atMs: clock.nowMs() })),
    );
    hold(false);
    const { material, atMs } = await rotated;
    hold(true);
    expect(atMs - startMs).toBe(hour / 2);
    expect(material.certificateChainPem).not.toBe(first.certificateChainPem);
    expect(await file.load()).toEqual(material); // stored before anybody was told
  });

  it("comes back from a restart with what is on disk, without asking anybody", async () => {
    const { identity, options, authority, file } = await setUp();
    await file.store(await authority.issueMaterial(node, hour));
    const renew = () => Promise.reject(new Error("nobody may be asked"));
    const again = createRotatingIdentity({ ...options, renew, pause: (_ms, signal) => sleep(60_000, signal) });
    started.push(again);
    await again.start(never);
    expect(again.current()).toEqual(await file.load());
    expect(() => identity.current()).toThrow();
  });

  it("asks at once when what is on disk has expired", async () => {
    const { identity, clock, authority, file, hold } = await setUp();
    const old = await authority.issueMaterial(node, hour);
    await file.store(old);
    clock.advance(hour);
    hold(true);
    await identity.start(never);
    expect(identity.current().expiresAtMs).toBeGreaterThan(clock.nowMs());
    expect(identity.current()).not.toEqual(old);
  });

  it("keeps the old certificate while renewal fails, says so, says when it has expired, and recovers", async () => {
    let failures = 0;
    const { authority, clock, options } = await setUp();
    const heard: string[] = [];
    const seen: IdentityMaterial[] = [];
    const stubborn: RotatingIdentity = createRotatingIdentity({
      ...options,
      renew: async (current) => {
        if (current !== undefined && failures++ < 40) throw fault("UNAVAILABLE", "no control plane");
        return authority.issueMaterial(node, hour);
      },
      pause: async (ms, signal) => {
        await sleep(0, signal);
        seen.push(stubborn.current());
        clock.advance(ms);
      },
      log: {
        ...silentLogger,
        info: () => undefined,
        warn: (_facts: object, message: string) => heard.push(message),
        error: (_facts: object, message: string) => heard.push(message),
      } as unknown as Logger,
      backoff: { firstMs: 1000, maxMs: 120_000, jitter: 0 },
    });
    started.push(stubborn);
    await stubborn.start(never);
    const first = stubborn.current();
    await new Promise<void>((resolve) => stubborn.onRotate(() => resolve()));
    expect(heard.slice(0, 40).filter((line) => line.startsWith("identity.renewal_failed")).length).toBeGreaterThan(10);
    expect(heard.some((line) => line.startsWith("identity.expired"))).toBe(true); // 40 failures take longer than the other half hour
    expect(heard).toHaveLength(40);
    expect(seen.slice(0, 40).every((material) => material === first)).toBe(true);
    expect(stubborn.current()).not.toEqual(first);
  });

  it("gives up at the start only when trying again cannot help", async () => {
    let calls = 0;
    const refused = await setUp({
      renew: () => {
        calls++;
        return Promise.reject(fault("JOIN_TOKEN_INVALID"));
      },
    });
    await expect(refused.identity.start(never)).rejects.toMatchObject({ code: "JOIN_TOKEN_INVALID" });
    expect(calls).toBe(1);

    const away = await setUp();
    let attempts = 0;
    const patient = createRotatingIdentity({
      ...away.options,
      renew: () => (attempts++ < 3 ? Promise.reject(fault("UNAVAILABLE")) : away.authority.issueMaterial(node, hour)),
    });
    started.push(patient);
    away.hold(false);
    await patient.start(never);
    expect(attempts).toBe(4);
    expect(away.said.filter((line) => line.includes("UNAVAILABLE"))).toHaveLength(3);
  });

  it("ends its waiting with the signal", async () => {
    const { options } = await setUp();
    const controller = new AbortController();
    const identity = createRotatingIdentity({ ...options, renew: () => Promise.reject(fault("UNAVAILABLE")), pause: sleep });
    const starting = identity.start(controller.signal);
    controller.abort(new Error("enough"));
    await expect(starting).rejects.toThrow("enough");
    await identity.stop();
  });

  it("does not use what it could not store, and refuses a certificate that is over already", async () => {
    const { options, authority, clock } = await setUp();
    let isFull = false;
    const identity = createRotatingIdentity({
      ...options,
      store: () => (isFull ? Promise.reject(fault("DISK_FULL")) : Promise.resolve()),
      pause: (_ms, signal) => sleep(60_000, signal),
    });
    started.push(identity);
    await identity.start(never);
    const first = identity.current();
    isFull = true;
    await expect(identity.renewNow(never)).rejects.toMatchObject({ code: "DISK_FULL" });
    expect(identity.current()).toBe(first);
    const late = createRotatingIdentity({
      ...options,
      renew: async () => {
        const material = await authority.issueMaterial(node, 1000);
        clock.advance(1000);
        return material;
      },
    });
    await expect(late.renewNow(never)).rejects.toMatchObject({ code: "IDENTITY_REJECTED" });
  });

  it("asks once for callers at the same time, and one bad listener does not silence the others", async () => {
    let asked = 0;
    const { options, authority } = await setUp();
    const identity = createRotatingIdentity({
      ...options,
      renew: () => {
        asked++;
        return authority.issueMaterial(node, hour);
      },
      pause: (_ms, signal) => sleep(60_000, signal),
    });
    started.push(identity);
    await identity.start(never);
    const told: string[] = [];
    identity.onRotate(() => {
      throw new Error("a server that cannot take it");
    });
    const unsubscribe = identity.onRotate((material) => told.push(material.certificateChainPem));
    const [one, two] = await Promise.all([identity.renewNow(never), identity.renewNow(never)]);
    expect(asked).toBe(2);
    expect(one).toBe(two);
    expect(told).toEqual([one.certificateChainPem]);
    unsubscribe();
    await identity.renewNow(never);
    expect(told).toHaveLength(1);
  });

  it("is due in the first half of its life, never in the past for a fresh one", async () => {
    const { authority, clock } = await setUp();
    for (const ttlMs of [2000, 60_000, hour]) {
      const material = await authority.issueMaterial(node, ttlMs);
      for (const random of [0, 0.5, 0.999]) {
        const inMs = renewalDueAtMs(material, () => random) - clock.nowMs();
        expect(inMs).toBeGreaterThan(ttlMs * 0.44);
        expect(inMs).toBeLessThanOrEqual(ttlMs * 0.5);
      }
    }
  });

  it("does not ask again and again when the authority's clock is far behind", async () => {
    const { options, clock } = await setUp();
    const behind = createManualClock(clock.nowMs() - 0.8 * hour);
    const slow = await openAuthority(join(dir, "ca"), { trustDomain: "aether.local", clock: behind });
    let asked = 0;
    const identity = createRotatingIdentity({
      ...options,
      renew: () => {
        asked++;
        return slow.issueMaterial(node, hour);
      },
      pause: async (ms, signal) => {
        await sleep(1, signal);
        clock.advance(ms);
        behind.advance(ms);
      },
    });
    started.push(identity);
    const startMs = clock.nowMs();
    await identity.start(never);
    await expect.poll(() => clock.nowMs() - startMs, { timeout: 8000 }).toBeGreaterThan(hour);
    await identity.stop();
    expect(asked).toBeLessThan((22 * (clock.nowMs() - startMs)) / hour + 3); // each is good for 12 minutes, so one in 3 minutes
  });

  it("refuses a damaged file by name", async () => {
    const path = join(dir, "damaged.json");
    await writeFile(path, '{"spiffeId":"spiffe://aether.local/no');
    await expect(identityFile(path).load()).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining(path) });
  });
});

describe("rotation on the wire, in real time", () => {
  it("renews certificates of three seconds again and again without dropping an open stream", async () => {
    const authority = await openAuthority(join(dir, "ca-real"), { trustDomain: "aether.local" });
    const make = async (name: string) => {
      const identity = createRotatingIdentity({
        ...identityFile(join(dir, `${name}.json`)),
        renew: () => authority.issueMaterial(`spiffe://aether.local/${name}`, 3000),
        log: silentLogger,
      });
      started.push(identity);
      await identity.start(never);
      return identity;
    };
    const [core, agent] = [await make("core"), await make("agent")];
    const server = createMutualTlsServer({ identity: core, onConnection: (socket) => socket.pipe(socket) });
    const { port } = await server.listen(0, "127.0.0.1");
    const to = { identity: agent, host: "127.0.0.1", port, trust: "spiffe://aether.local/core", deadlineMs: 3000 };
    const stream = await connectMutualTls(to);
    let rotations = 0;
    core.onRotate(() => rotations++);
    let sent = 0;
    let received = 0;
    let problem: Error | undefined;
    stream.on("data", (chunk: Buffer) => {
      received += chunk.length;
    });
    stream.on("error", (error) => {
      problem = error;
    });
    const serials = new Set<string | undefined>();
    const endMs = performance.now() + 4200;
    while (performance.now() < endMs) {
      sent += 5;
      stream.write("tick\n");
      const fresh = await connectMutualTls(to); // the first certificate has long expired when the last of these is made
      serials.add(fresh.getPeerX509Certificate()?.serialNumber);
      fresh.destroy();
      await sleep(50);
    }
    await expect.poll(() => received, { timeout: 5000 }).toBe(sent);
    expect(problem).toBeUndefined();
    expect(rotations).toBeGreaterThanOrEqual(2);
    expect(serials.size).toBeGreaterThanOrEqual(3);
    stream.destroy();
    await server.stop();
  });
});
