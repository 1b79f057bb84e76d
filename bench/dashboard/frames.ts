// Frames as the browser's compositor counted them while something ran: from a trace, not from the page's own clock, which stops when the page does.
import type { Browser, Page } from "playwright-core";

export interface Frames {
  /** Presented, a second. */
  readonly fps: number;
  readonly dropped: number;
  /** What the page's own thread computed for each, ms of CPU: more than 16.7 cannot be 60 a second on any machine as fast as this one. Does not grow with what else runs. */
  readonly cpuMs: number;
  /** The longest time between two that were presented, ms. */
  readonly worstMs: number;
}

interface TraceEvent {
  readonly name: string;
  readonly ts: number;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  /** µs of CPU, where the thread's clock is read. */
  readonly tdur?: number;
  readonly args?: { readonly chrome_frame_reporter?: { readonly state?: string } };
}

export async function framesWhile(browser: Browser, page: Page, script: string): Promise<Frames> {
  await browser.startTracing(page, {
    categories: [
      "disabled-by-default-devtools.timeline.frame",
      "cc,benchmark",
      "devtools.timeline",
      "disabled-by-default-devtools.timeline",
    ],
  });
  const begunAt = performance.now();
  await page.evaluate(script);
  const tookMs = performance.now() - begunAt;
  const trace = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
  const drawn = trace.traceEvents
    .filter(({ name }) => name === "DrawFrame")
    .map(({ ts }) => ts / 1000)
    .sort((a, b) => a - b);
  const dropped = trace.traceEvents.filter(
    ({ name, ph, args }) => name === "PipelineReporter" && ph === "b" && args?.chrome_frame_reporter?.state === "STATE_DROPPED",
  ).length;
  const frames = trace.traceEvents.filter(({ name }) => name === "FireAnimationFrame");
  const [{ pid, tid } = { pid: -1, tid: -1 }] = frames;
  const cpuUs = trace.traceEvents
    .filter((each) => each.name === "RunTask" && each.pid === pid && each.tid === tid)
    .reduce((sum, { tdur = 0 }) => sum + tdur, 0);
  let worstMs = 0;
  for (const [i, at] of drawn.entries()) worstMs = Math.max(worstMs, at - (drawn[i - 1] ?? at));
  return { fps: drawn.length / (tookMs / 1000), dropped, cpuMs: cpuUs / 1000 / Math.max(1, frames.length), worstMs };
}
