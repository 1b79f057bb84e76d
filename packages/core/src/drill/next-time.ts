// When a schedule comes due next. Pure: the clock is an argument. Cron fields count in their own time zone, so "03:00" stays 03:00 when the clocks
// change; an hour that does not exist is skipped to the next that does, one that comes twice counts once.
import { fault } from "@aether/contract";
import { Cron } from "croner";

export interface Timing {
  readonly cron: string | null;
  readonly everySeconds: number | null;
  readonly timeZone: string;
  readonly createdAtMs: number;
}

/** The first time after `afterMs`; undefined: never again. */
export function nextTime({ cron, everySeconds, timeZone, createdAtMs }: Timing, afterMs: number): number | undefined {
  if (everySeconds !== null) {
    const stepMs = everySeconds * 1000;
    return createdAtMs + (Math.floor(Math.max(0, afterMs - createdAtMs) / stepMs) + 1) * stepMs;
  }
  return new Cron(cron ?? "", options(timeZone)).nextRun(new Date(afterMs))?.getTime();
}

const options = (timezone: string) => ({ timezone, paused: true, mode: "5-part" as const });

const everyLowest = 300;
const everyHighest = 31_536_000;

/** Throws INVALID_ARGUMENT that names the field. */
export function parseTiming(request: { cron: string; everySeconds: number; timeZone: string }, createdAtMs: number): Timing {
  const { cron, everySeconds } = request;
  const timeZone = request.timeZone || "UTC";
  if ((cron === "") === (everySeconds === 0))
    throw fault("INVALID_ARGUMENT", "a schedule has either cron or every_seconds", { field: cron === "" ? "cron" : "every_seconds" });
  if (everySeconds !== 0 && (everySeconds < everyLowest || everySeconds > everyHighest))
    throw fault("INVALID_ARGUMENT", `every_seconds must be ${everyLowest} to ${everyHighest}, not ${everySeconds}`, {
      field: "every_seconds",
    });
  try {
    new Intl.DateTimeFormat("en", { timeZone });
  } catch {
    throw fault("INVALID_ARGUMENT", `there is no time zone ${JSON.stringify(timeZone.slice(0, 60))}`, {
      field: "time_zone",
      hint: "Use a name of the IANA database, e.g. Europe/Berlin, or UTC.",
    });
  }
  const timing: Timing = { cron: cron === "" ? null : cron, everySeconds: everySeconds || null, timeZone, createdAtMs };
  if (cron === "") return timing;
  if (cron.length > 100) throw fault("INVALID_ARGUMENT", "cron is longer than 100 characters", { field: "cron" });
  let next: number | undefined;
  try {
    next = nextTime(timing, createdAtMs);
  } catch (cause) {
    throw fault("INVALID_ARGUMENT", `cron: ${cause instanceof Error ? cause.message : String(cause)}`, {
      field: "cron",
      hint: 'Five fields: minute, hour, day of the month, month, day of the week; e.g. "0 3 * * mon".',
      cause,
    });
  }
  if (next === undefined) throw fault("INVALID_ARGUMENT", "cron never comes due", { field: "cron" });
  return timing;
}
