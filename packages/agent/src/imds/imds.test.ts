// The client and the watcher against a metadata service on a real socket that answers as told, the odd ways included.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createManualClock, silentLogger, sleep, until } from "@aether/kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseInstanceAction, parseRebalance } from "./answers.ts";
import { createImdsClient, type ImdsClient, readInstanceFacts } from "./client.ts";
import { type SequencedSignal, startWatcher } from "./watcher.ts";

type Odd = "ok" | 401 | 403 | 404 | 500 | "hang" | "garbage" | "huge" | "reset" | "trickle";

interface ImdsDouble {
  readonly endpoint: string;
  /** Paths below /latest/ and their answers. */
  readonly answers: Map<string, string>;
  /** How GETs, and the PUT for a token, are answered. */
  mode: Odd;
  tokenMode: Odd;
  readonly seen: string[];
  tokensGiven: number;
  /** All tokens given so far are no longer accepted. */
  forgetTokens(): void;
  close(): Promise<void>;
}

async function startImdsDouble(): Promise<ImdsDouble> {
  const tokens = new Set<string>();
  const double: ImdsDouble = {
    endpoint: "",
    answers: new Map(),
    mode: "ok",
    tokenMode: "ok",
    seen: [],
    tokensGiven: 0,
    forgetTokens: () => tokens.clear(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  const odd = (mode: Odd, request: IncomingMessage, response: ServerResponse): boolean => {
    if (mode === "ok") return false;
    if (mode === "hang") return true;
    if (mode === "reset") request.socket.resetAndDestroy();
    else if (mode === "garbage") response.end("<html>\u0000captive portal{{{");
    else if (mode === "huge") response.end("x".repeat(5_000_000));
    else if (mode === "trickle") {
      response.write("{");
      const timer = setInterval(() => response.write(" "), 20);
      response.once("close", () => clearInterval(timer));
    } else response.writeHead(mode).end("no");
    return true;
  };
  const server = createServer((request, response) => {
    const path = (request.url ?? "").replace(/^\/latest\//, "");
    double.seen.push(`${request.method} ${path}`);
    if (request.method === "PUT") {
      if (odd(double.tokenMode, request, response)) return;
      if (path !== "api/token" || !request.headers["x-aws-ec2-metadata-token-ttl-seconds"]) return void response.writeHead(400).end();
      const token = `token-${++double.tokensGiven}`;
      tokens.add(token);
      return void response.end(token);
    }
    if (odd(double.mode, request, response)) return;
    if (!tokens.has(String(request.headers["x-aws-ec2-metadata-token"]))) return void response.writeHead(401).end();
    const answer = double.answers.get(path);
    if (answer === undefined) response.writeHead(404).end();
    else response.end(answer);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(double, { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

const action = "meta-data/spot/instance-action";
const rebalance = "meta-data/events/recommendations/rebalance";

let imds: ImdsDouble;
let client: ImdsClient;
let dir: string;
beforeEach(async () => {
  imds = await startImdsDouble();
  client = createImdsClient({ endpoint: imds.endpoint, deadlineMs: 200 });
  dir = await mkdtemp(join(tmpdir(), "aether-agent-imds-"));
});
afterEach(async () => {
  client.close();
  await imds.close();
  await rm(dir, { recursive: true });
});

describe("the IMDSv2 client", () => {
  it("asks for one token and keeps it and the connection", async () => {
    imds.answers.set(action, "x");
    for (let i = 0; i < 5; i++) expect(await client.get(action)).toBe("x");
    expect(imds.tokensGiven).toBe(1);
  });

  it("renews the token on 401, once", async () => {
    imds.answers.set(action, "x");
    await client.get(action);
    imds.forgetTokens();
    expect(await client.get(action)).toBe("x");
    expect(imds.tokensGiven).toBe(2);
    imds.mode = 401;
    await expect(client.get(action)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  it("renews the token before its end", async () => {
    const clock = createManualClock();
    const own = createImdsClient({ endpoint: imds.endpoint, clock });
    await own.get(action);
    clock.advance(21_600_000 * 0.89);
    await own.get(action);
    expect(imds.tokensGiven).toBe(1);
    clock.advance(21_600_000 * 0.02);
    await own.get(action);
    expect(imds.tokensGiven).toBe(2);
    own.close();
  });

  it("tells nothing announced from trouble", async () => {
    expect(await client.get(action)).toBeUndefined();
    for (const mode of [500, 403, "reset", "huge"] as const) {
      imds.mode = mode;
      await expect(client.get(action), String(mode)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    }
    for (const mode of ["hang", "trickle"] as const) {
      imds.mode = mode;
      await expect(client.get(action), mode).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    }
    imds.mode = "ok";
    expect(await client.get(action)).toBeUndefined();
  });

  it("does not send a token that is not one", async () => {
    imds.tokenMode = "garbage";
    await expect(client.get(action)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    imds.tokenMode = "huge";
    await expect(client.get(action)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(imds.seen.filter((line) => line.startsWith("GET"))).toEqual([]);
  });

  it("reads the facts of an instance, and refuses facts that are not words", async () => {
    expect(await readInstanceFacts(client)).toBeUndefined();
    imds.answers.set("meta-data/instance-id", "i-0abc");
    imds.answers.set("meta-data/instance-type", "m7g.large");
    imds.answers.set("meta-data/placement/availability-zone", "eu-north-1a");
    imds.answers.set("meta-data/instance-life-cycle", "spot");
    expect(await readInstanceFacts(client)).toMatchObject({ instanceId: "i-0abc", zone: "eu-north-1a", zoneId: "", lifecycle: "spot" });
    imds.answers.set("meta-data/instance-type", "../../etc; rm -rf");
    await expect(readInstanceFacts(client)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});

describe("answers", () => {
  it("are dates and words, or refused", () => {
    expect(parseInstanceAction('{"action":"terminate","time":"2026-09-18T08:22:00Z"}')).toEqual({
      action: "terminate",
      effectiveAtMs: Date.UTC(2026, 8, 18, 8, 22),
    });
    expect(parseRebalance('{"noticeTime":"2026-10-27T08:22:00Z"}').noticedAtMs).toBe(Date.UTC(2026, 9, 27, 8, 22));
    const bad = [
      "",
      "null",
      "[]",
      '{"action":"terminate"}',
      '{"action":"terminate","time":"soon"}',
      '{"action":"terminate","time":"2026-13-45T99:99:99Z"}',
      '{"action":"TERMINATE; reboot","time":"2026-09-18T08:22:00Z"}',
      '{"action":{"toString":1},"time":"2026-09-18T08:22:00Z"}',
    ];
    for (const text of bad) expect(() => parseInstanceAction(text), text).toThrowError(expect.objectContaining({ code: "UNAVAILABLE" }));
  });
});

describe("the watcher", () => {
  const time = "2026-09-18T08:22:00Z";
  const notice = JSON.stringify({ action: "terminate", time });
  let signals: SequencedSignal[];
  beforeEach(() => {
    signals = [];
  });
  const start = (emit?: (signal: SequencedSignal) => Promise<void>) =>
    startWatcher({
      client,
      intervalMs: () => 20,
      stateDir: dir,
      log: silentLogger,
      lastSequence: () => signals.at(-1)?.sequence ?? 100,
      emit:
        emit ??
        (async (signal) => {
          if (signal.sequence > (signals.at(-1)?.sequence ?? 100)) signals.push(signal);
        }),
    });
  const heard = (count: number) => until(`${count} signals`, 10, 3_000, async () => (signals.length >= count ? signals : undefined));

  it("tells each change once, through trouble of every kind", async () => {
    const watcher = await start();
    imds.answers.set(rebalance, JSON.stringify({ noticeTime: time }));
    await heard(1);
    imds.answers.set(action, notice);
    await heard(2);
    for (const mode of [500, "garbage", "hang", "reset", "huge", 401] as const) {
      imds.mode = mode;
      const before = imds.seen.length;
      await until("another poll", 10, 3_000, async () => (imds.seen.length > before + 1 ? true : undefined));
    }
    imds.mode = "ok";
    imds.answers.delete(action);
    await heard(3);
    await watcher.stop();
    expect(signals.map(({ kind, sequence }) => [kind, sequence])).toEqual([
      ["REBALANCE", 101],
      ["NOTICE", 102],
      ["WITHDRAWN", 103],
    ]);
    expect(signals[1]).toMatchObject({ action: "terminate", effectiveAtMs: Date.parse(time) });
  });

  it("repeats nothing after a restart, and notices what was withdrawn meanwhile", async () => {
    imds.answers.set(action, notice);
    const first = await start();
    await heard(1);
    await first.stop();
    const second = await start();
    await sleep(100);
    expect(signals.length).toBe(1);
    await second.stop();
    imds.answers.delete(action);
    const third = await start();
    await heard(2);
    await third.stop();
    expect(signals[1]?.kind).toBe("WITHDRAWN");
  });

  it("hands on after a restart what a crash kept back, with the same sequence", async () => {
    imds.answers.set(action, notice);
    let tried: SequencedSignal | undefined;
    const first = await start(async (signal) => {
      tried = signal;
      await new Promise(() => undefined); // killed in the middle: the spool never got it
    });
    await until("the signal", 10, 3_000, async () => tried);
    void first;
    const second = await start();
    expect(signals).toEqual([tried]);
    await second.stop();
  });

  it("announces anew what is in force when its own state is damaged", async () => {
    imds.answers.set(action, notice);
    await writeFile(join(dir, "imds.json"), "{half");
    const watcher = await start();
    await heard(1);
    await watcher.stop();
    expect(JSON.parse(await readFile(join(dir, "imds.json"), "utf8"))).toMatchObject({ announced: { notice: { action: "terminate" } } });
  });

  it("backs off while there is trouble", async () => {
    imds.mode = 500;
    const watcher = await start();
    await sleep(600);
    await watcher.stop();
    // At 20 ms without backoff this would be about 60 GETs; doubling to 160 ms leaves about a dozen.
    expect(imds.seen.filter((line) => line === `GET ${action}`).length).toBeLessThan(14);
  });
});
