// Sends the client's reports to core, in order, each until it was taken; while core is away they wait. When more than an hour waits, the two
// oldest become one: memory stays bounded and no count is lost.
import { backoffMs, type Logger, type Stoppable, sleep } from "@aether/kit";
import { joinReports, type Report } from "./observations.ts";

export interface ReporterOptions {
  readonly url: string;
  readonly token: string;
  /** Of the oracle. */
  readonly name: string;
  readonly workload: string;
  readonly log: Logger;
  /** Default 3600. */
  readonly maxWaiting?: number;
  readonly fetch?: typeof fetch;
}

export interface Reporter extends Stoppable {
  add(report: Report): void;
  readonly waitingCount: number;
}

export function createReporter(options: ReporterOptions): Reporter {
  const waiting: Report[] = [];
  const maxWaiting = options.maxWaiting ?? 3600;
  const controller = new AbortController();
  let isAway = false;
  let wake = () => {};

  async function send(report: Report): Promise<void> {
    const response = await (options.fetch ?? fetch)(`${options.url}/api/v2/oracles/${options.name}:report`, {
      method: "POST",
      headers: { authorization: `Bearer ${options.token}`, "content-type": "application/json" },
      body: JSON.stringify(wireReport(options.name, options.workload, report)),
      signal: AbortSignal.any([controller.signal, AbortSignal.timeout(5_000)]),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`core answered ${response.status}: ${text.slice(0, 200)}`);
  }

  async function loop(): Promise<void> {
    let attempt = 0;
    while (!controller.signal.aborted) {
      const next = waiting[0];
      if (next === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      try {
        await send(next);
        if (waiting[0] === next) waiting.shift();
        if (isAway) options.log.info({ waiting: waiting.length }, "core takes reports again");
        isAway = false;
        attempt = 0;
      } catch (caught) {
        if (controller.signal.aborted) return;
        if (!isAway) options.log.warn({ err: caught }, "core takes no reports now; they wait");
        isAway = true;
        await sleep(backoffMs({ firstMs: 250, maxMs: 5_000 }, attempt++), controller.signal).catch(() => undefined); // stopped: the loop ends
      }
    }
  }
  const running = loop();

  return {
    add(report) {
      waiting.push(report);
      // The first is perhaps on its way: the second and third are joined instead, so that it is not sent twice.
      while (waiting.length > Math.max(3, maxWaiting)) {
        const [second, third] = waiting.splice(1, 2);
        if (second !== undefined && third !== undefined) waiting.splice(1, 0, joinReports(second, third));
      }
      wake();
    },
    get waitingCount() {
      return waiting.length;
    },
    async stop() {
      controller.abort();
      wake();
      await running;
    },
  };
}

/** OracleReport of the contract, as JSON. */
export function wireReport(name: string, workload: string, report: Report): Record<string, unknown> {
  return {
    name,
    workload,
    since: new Date(report.sinceMs).toISOString(),
    until: new Date(report.untilMs).toISOString(),
    requestCount: String(report.requestCount),
    errorCount: String(report.errorCount),
    wrongCount: String(report.wrongCount),
    reconnectCount: String(report.reconnectCount),
    latencyP50Ms: report.latencyP50Ms,
    latencyP99Ms: report.latencyP99Ms,
    longestGapMs: report.longestGapMs,
    lastError: report.lastError,
    gaps: report.gaps.map((gap) => ({ at: new Date(gap.atMs).toISOString(), durationMs: gap.durationMs })),
    sliceMs: report.sliceMs,
    worstLatencyMs: report.worstLatencyMs.slice(-3600),
  };
}
