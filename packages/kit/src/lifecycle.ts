// What lives long starts in order and stops in the reverse order, within a deadline, on SIGTERM or SIGINT.
import { Fault, fault } from "@aether/contract";
import type { Logger } from "./log.ts";
import { withDeadline } from "./wait.ts";

export interface Stoppable {
  /** Ends all work and frees all resources. Safe to call twice. */
  stop(): Promise<void>;
}

/** Stops its members in the reverse order of their adding; goes on after a failure and reports the first one. */
export function createStopStack(log: Logger): Stoppable & { add(name: string, member: Stoppable | (() => Promise<void> | void)): void } {
  const members: { name: string; stop: () => Promise<void> | void }[] = [];
  return {
    add(name, member) {
      members.push({ name, stop: typeof member === "function" ? member : () => member.stop() });
    },
    async stop() {
      let failed: unknown;
      for (let member = members.pop(); member; member = members.pop()) {
        const { name, stop } = member;
        try {
          await withDeadline(`stopping ${name}`, 10_000, async () => stop());
        } catch (cause) {
          log.error({ err: cause, part: name }, "could not stop cleanly");
          failed ??= cause;
        }
      }
      if (failed !== undefined) throw failed;
    },
  };
}

/**
 * Runs a daemon until SIGTERM, SIGINT or the end of `outer`; then stops it. A second signal ends the process at once. Being stopped while
 * it starts is no failure.
 * @returns after the stop.
 */
export async function runUntilSignalled(
  log: Logger,
  start: (signal: AbortSignal) => Promise<Stoppable>,
  outer?: AbortSignal,
): Promise<void> {
  const controller = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(130);
    log.info({ signal: name }, "stopping");
    controller.abort(fault("CANCELLED", `stopped by ${name}`));
  };
  const onOuter = () => controller.abort(outer?.reason);
  const asked = new Promise<void>((resolve) => controller.signal.addEventListener("abort", () => resolve(), { once: true }));
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  outer?.addEventListener("abort", onOuter, { once: true });
  if (outer?.aborted) onOuter();
  try {
    const daemon = await start(controller.signal);
    await asked;
    await daemon.stop();
  } catch (caught) {
    const isOurStop = controller.signal.aborted && (caught === controller.signal.reason || Fault.from(caught).code === "CANCELLED");
    if (!isOurStop) throw caught;
  } finally {
    process.off("SIGTERM", onSignal);
    process.off("SIGINT", onSignal);
    outer?.removeEventListener("abort", onOuter);
  }
}
