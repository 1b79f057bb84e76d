// How the memory of a workload travels, chosen before the move: pure. A mode that was asked for and cannot be had is a blocker, never replaced in silence.
import type { Finding, MigrationMode } from "../engine.ts";
import type { MemoryClasses } from "./classes.ts";
import { budgetOf, type Costs, carriedMs, type Forecast, forecast } from "./rounds.ts";

/** What this host can do, found by doing. */
export interface Abilities {
  /** Empty until the canary has run. */
  readonly criuVersion: string;
  readonly lazyPages: boolean;
  /** Empty: it can track memory. */
  readonly noTracking: string;
  readonly costs: Costs;
}

export const noAbilities: Abilities = {
  criuVersion: "",
  lazyPages: false,
  noTracking: "it was not tried yet",
  costs: { fixedMs: 150, perGibibyteMs: 30 },
};

/** What is known of the pair and the workload before a move; what is left out is not known. */
export interface KnownRates {
  readonly linkBytesPerSecond?: number;
  readonly dirtyBytesPerSecond?: number;
  /** From where the two are. */
  readonly basis?: string;
  /** Until the freeze must begin, ms. */
  readonly timeLeftMs?: number;
}

export interface ModeQuestion {
  readonly requested: MigrationMode;
  /** All that has to travel. */
  readonly memoryBytes: number;
  readonly classes: MemoryClasses;
  readonly here: Abilities;
  readonly canLazyThere: boolean;
  /** Why this workload's memory cannot be copied ahead; undefined where it can. */
  readonly untrackable: string | undefined;
  readonly known: KnownRates;
}

type Chosen = Exclude<MigrationMode, "auto">;

export interface ModeAnswer {
  readonly mode: Chosen;
  readonly reason: string;
  readonly forecast: Forecast;
}

/** Below this, sending the memory inside the freeze takes less than what it costs to set up anything else. */
export const stopAndCopyMaxBytes = 32 << 20;
/** Dumping, sending and reading back what travels inside the freeze; a loaded pair of cores does no better. */
const frozenBytesPerSecond = 300 * 2 ** 20;
/** criu collects all pages before the target may begin, ms a GiB. */
const collectMs = 130;
const assumedLinkRate = 400 * 2 ** 20;

export function chooseMode(question: ModeQuestion, blockers: Finding[]): ModeAnswer {
  const { requested, memoryBytes, here, canLazyThere } = question;
  const canLazy = here.lazyPages && canLazyThere;
  const noLazy = canLazy ? "" : `lazy pages do not work on the ${here.lazyPages ? "target" : "source"}`;
  const noPreCopy =
    here.noTracking !== "" ? `memory cannot be tracked on the source: ${here.noTracking}` : (question.untrackable ?? noLazy);
  const why: Readonly<Record<Chosen, string>> = { "pre-copy": noPreCopy, "post-copy": noLazy, "stop-and-copy": "" };
  const forecasts = {
    "pre-copy": forecastOf("pre-copy", question),
    "post-copy": forecastOf("post-copy", question),
    "stop-and-copy": forecastOf("stop-and-copy", question),
  };
  const { timeLeftMs = Number.POSITIVE_INFINITY } = question.known;
  /** Before the freeze: copying ahead is the only thing of a mode that the deadline is too short for. */
  const aheadMs = (mode: Chosen) => forecasts[mode].totalMs - forecasts[mode].freezeMs;
  const canMake = (mode: Chosen) => why[mode] === "" && (mode !== "pre-copy" || forecasts[mode].totalMs <= budgetOf(timeLeftMs));
  const answer = (mode: Chosen, reason: string) => ({ mode, reason, forecast: forecasts[mode] });
  if (requested !== "auto") {
    if (canMake(requested)) return answer(requested, "asked for");
    const next = order(requested).find(canMake) ?? "stop-and-copy";
    const isLate = why[requested] === "";
    const message = isLate
      ? `copying ahead takes ${seconds(aheadMs(requested))} (${forecasts[requested].basis}), and ${seconds(timeLeftMs)} are left`
      : why[requested];
    const mend = `Use --mode ${next} (a freeze of about ${seconds(forecasts[next].freezeMs)}), or auto.`;
    blockers.push({ code: isLate ? "DEADLINE_TOO_SHORT" : "MODE_UNAVAILABLE", message, mend, subject: "mode" });
    return answer(requested, message);
  }
  const mib = Math.round(memoryBytes / 2 ** 20);
  if (memoryBytes <= stopAndCopyMaxBytes) return answer("stop-and-copy", `${mib} MiB travel faster inside the freeze than ahead of it`);
  const noTime = `${seconds(timeLeftMs)} are too short for copying ahead`;
  if (canMake("pre-copy")) {
    // What only images can carry, or a workload that writes faster than the link: then copying ahead spares nothing.
    if (forecasts["pre-copy"].freezeMs >= forecasts["stop-and-copy"].freezeMs)
      return answer("stop-and-copy", `copying ahead would not shorten the freeze: ${whyNoGain(forecasts["pre-copy"])}`);
    return answer("pre-copy", `${mib} MiB are copied while it runs; both nodes can`);
  }
  if (canMake("post-copy")) return answer("post-copy", `${mib} MiB would make the freeze long, and ${noPreCopy || noTime}`);
  return answer("stop-and-copy", noPreCopy === "" ? noTime : noLazy || noPreCopy);
}

const order = (requested: Chosen): Chosen[] => (["pre-copy", "post-copy", "stop-and-copy"] as const).filter((mode) => mode !== requested);

const seconds = (ms: number) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

function whyNoGain({ classes, dirtyBytesPerSecond, linkBytesPerSecond }: Forecast): string {
  const carried = classes?.carried.map(({ kind, bytes }) => `${Math.round(bytes / 2 ** 20)} MiB of ${kind.replaceAll("_", " ")}`) ?? [];
  const rate = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB/s`;
  if (carried.length > 0) return `${carried.join(", ")} travel in the freeze in every mode`;
  return `it writes ${rate(dirtyBytesPerSecond)}, the link carries ${rate(linkBytesPerSecond)}`;
}

/** Before anything is copied: from the memory alone, with rates of telemetry and earlier moves where there are any. */
function forecastOf(mode: Chosen, { memoryBytes, classes, here, known }: ModeQuestion): Forecast {
  const { linkBytesPerSecond, dirtyBytesPerSecond } = known;
  const link = linkBytesPerSecond ?? assumedLinkRate;
  const basis = [
    linkBytesPerSecond === undefined ? "the link is assumed" : known.basis || "the link as in the last move",
    ...(dirtyBytesPerSecond === undefined ? ["nothing is known of its writes"] : []),
  ].join(", ");
  const { costs } = here;
  const rates = { linkBytesPerSecond: link, dirtyBytesPerSecond: dirtyBytesPerSecond ?? 0, basis };
  if (mode === "pre-copy") return forecast({ memoryBytes, classes }, [], costs, rates);
  const ofCarried = carriedMs(classes);
  const inFreeze = Math.min(link, frozenBytesPerSecond);
  const freezeMs =
    mode === "post-copy"
      ? costs.fixedMs +
        (classes.privateBytes / 2 ** 30) * (costs.perGibibyteMs + collectMs) +
        ofCarried +
        (classes.sharedBytes / inFreeze) * 1000
      : costs.fixedMs + (memoryBytes / inFreeze) * 1000;
  const freezeBytes = mode === "post-copy" ? memoryBytes - classes.privateBytes : memoryBytes;
  return { ...rates, memoryBytes, classes, freezeMs, totalMs: freezeMs, freezeBytes: Math.max(0, freezeBytes) };
}
