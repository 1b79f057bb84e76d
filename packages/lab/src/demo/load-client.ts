// A client that keeps one request in flight: INCR, wait for the answer, check it, pause. What it saw is taken as reports.
// A lost connection is an error, counted, and made again; the load goes on until it is stopped.
import { connect, type Socket } from "node:net";
import { type Clock, type Stoppable, sleep, systemClock } from "@aether/kit";
import { createCounterOracle } from "./counter-oracle.ts";
import { createObservations, joinReports, type Report } from "./observations.ts";
import { createRespReader, encodeCommand, type Reply, RespError } from "./resp.ts";

export interface LoadClientOptions {
  readonly address: string;
  readonly port: number;
  /** Of the counter. Default "demo:counter". */
  readonly key?: string;
  /** Between an answer and the next request. Default 2 ms. */
  readonly pauseMs?: number;
  readonly clock?: Clock;
}

export interface LoadClient extends Stoppable {
  /** Connects and begins; returns at once. Connection attempts that are refused before the first answer are waited out, not counted. */
  start(): void;
  /** What was seen since the last call. */
  take(): Report;
  /** All that was seen since the start, without the slices. Independent of `take`. */
  totals(): Report;
  /** The counter as last answered. */
  readonly lastValue: number | undefined;
}

export function createLoadClient(options: LoadClientOptions): LoadClient {
  const clock = options.clock ?? systemClock;
  const offsetMs = clock.nowMs() - clock.monotonicMs(); // durations by the monotonic clock, times for people by the wall clock of the start
  const now = () => clock.monotonicMs() + offsetMs;
  const oracle = createCounterOracle();
  const seen = createObservations(now());
  const command = encodeCommand(["INCR", options.key ?? "demo:counter"]);
  const controller = new AbortController();
  let total: Report | undefined;
  let untaken: Report | undefined;
  let running: Promise<void> | undefined;

  /** Moves what was seen into both books: the one that `take` empties and the one that only grows. */
  const note = () => {
    const report = seen.take(now());
    untaken = untaken === undefined ? report : joinReports(untaken, report);
    total = { ...(total === undefined ? report : joinReports(total, report)), worstLatencyMs: [] };
    return { untaken, total };
  };

  async function oneConnection(signal: AbortSignal): Promise<void> {
    const link = await openLink(options.address, options.port, signal);
    try {
      while (!signal.aborted) {
        seen.sent(now());
        const reply = await link.ask(command).catch((caught: unknown) => {
          if (!signal.aborted) oracle.broke(true);
          throw caught;
        });
        const isNumber = typeof reply === "number";
        if (!isNumber) seen.failed(reply instanceof RespError ? reply.message : "an answer that is not a number", false);
        seen.answered(now(), isNumber && oracle.answered(reply) === "right");
        await sleep(options.pauseMs ?? 2, signal);
      }
    } finally {
      link.close();
    }
  }

  async function loop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const hadAnswer = oracle.last !== undefined;
      await oneConnection(signal).catch((caught: unknown) => {
        if (signal.aborted) return;
        const wasConnected = !(caught instanceof ConnectFailed);
        if (hadAnswer || wasConnected) seen.failed(caught instanceof Error ? caught.message : String(caught), wasConnected);
      });
      await sleep(100, signal).catch(() => undefined); // aborted: the loop's condition ends it
    }
  }

  return {
    start() {
      running ??= loop(controller.signal);
    },
    take() {
      const report = note().untaken;
      untaken = undefined;
      return report;
    },
    totals: () => note().total,
    get lastValue() {
      return oracle.last;
    },
    async stop() {
      controller.abort();
      await running;
    },
  };
}

class ConnectFailed extends Error {}

interface Link {
  /** Sends and waits for one reply. Rejects when the connection ends. */
  ask(bytes: Uint8Array): Promise<Reply>;
  close(): void;
}

function openLink(host: string, port: number, signal: AbortSignal): Promise<Link> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ host, port, noDelay: true });
    const reader = createRespReader();
    let waiting: { resolve: (reply: Reply) => void; reject: (cause: Error) => void } | undefined;
    let ended: Error | undefined;
    const timer = setTimeout(() => socket.destroy(new Error("connect timed out after 3000 ms")), 3000);
    const end = (cause: Error) => {
      ended ??= cause;
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      reject(new ConnectFailed(ended.message));
      waiting?.reject(ended);
      waiting = undefined;
      socket.destroy();
    };
    const abort = () => end(new Error("stopped"));
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    socket.on("error", end);
    socket.on("close", () => end(new Error("connection closed by the server")));
    socket.on("data", (chunk) => {
      try {
        for (const reply of reader.push(chunk)) {
          waiting?.resolve(reply);
          waiting = undefined;
        }
      } catch (caught) {
        end(caught instanceof Error ? caught : new Error(String(caught)));
      }
    });
    socket.on("connect", () => {
      clearTimeout(timer);
      resolve({
        ask(bytes) {
          return new Promise((resolveAnswer, rejectAnswer) => {
            if (ended !== undefined) return rejectAnswer(ended);
            waiting = { resolve: resolveAnswer, reject: rejectAnswer };
            socket.write(bytes);
          });
        },
        close: () => end(new Error("stopped")),
      });
    });
  });
}
