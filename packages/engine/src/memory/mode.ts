// How the memory of a workload travels, chosen before the move: pure. A mode that was asked for and cannot be had is a blocker, never replaced in silence.
import type { Finding, MigrationMode } from "../engine.ts";
import { type Costs, type Forecast, forecast } from "./rounds.ts";

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

export interface ModeQuestion {
  readonly requested: MigrationMode;
  readonly memoryBytes: number;
  readonly here: Abilities;
  readonly canLazyThere: boolean;
  /** Why this workload's memory cannot be tracked; undefined where it can. */
  readonly untrackable: string | undefined;
  /** Of an earlier move to the same node. */
  readonly knownLinkRate: number | undefined;
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
  const answer = (mode: Chosen, reason: string) => ({ mode, reason, forecast: forecastOf(mode, question) });
  const refuse = (message: string, mend: string) => {
    blockers.push({ code: "MODE_UNAVAILABLE", message, mend, subject: "mode" });
    return answer("stop-and-copy", message);
  };
  if (requested === "pre-copy") {
    if (noPreCopy !== "") return refuse(noPreCopy, `Use --mode ${canLazy ? "post-copy" : "stop-and-copy"}, or auto.`);
    return answer("pre-copy", "asked for");
  }
  if (requested === "post-copy") {
    if (noLazy !== "") return refuse(noLazy, "Use --mode stop-and-copy; `aether inspect NODE` says what is missing.");
    return answer("post-copy", "asked for");
  }
  if (requested === "stop-and-copy") return answer("stop-and-copy", "asked for");
  const mib = Math.round(memoryBytes / 2 ** 20);
  if (memoryBytes <= stopAndCopyMaxBytes) return answer("stop-and-copy", `${mib} MiB travel faster inside the freeze than ahead of it`);
  if (noPreCopy === "") return answer("pre-copy", `${mib} MiB are copied while it runs; both nodes can`);
  if (canLazy) return answer("post-copy", `${mib} MiB would make the freeze long, and ${noPreCopy}`);
  return answer("stop-and-copy", noLazy);
}

/** Before anything is copied: from the memory alone, with rates of an earlier move where there was one. */
function forecastOf(mode: Chosen, { memoryBytes, here, knownLinkRate }: ModeQuestion): Forecast {
  const link = knownLinkRate ?? assumedLinkRate;
  const basis =
    knownLinkRate === undefined
      ? "the link is assumed, nothing is known of its writes"
      : "the link as in the last move, nothing is known of its writes";
  const { costs } = here;
  const common = { memoryBytes, dirtyBytesPerSecond: 0, linkBytesPerSecond: link, basis };
  if (mode === "pre-copy") return forecast(memoryBytes, [], costs, { ...common, basis });
  const freezeMs =
    mode === "post-copy"
      ? costs.fixedMs + (memoryBytes / 2 ** 30) * (costs.perGibibyteMs + collectMs)
      : costs.fixedMs + (memoryBytes / Math.min(link, frozenBytesPerSecond)) * 1000;
  return { ...common, freezeMs, totalMs: freezeMs, freezeBytes: mode === "post-copy" ? 0 : memoryBytes };
}
