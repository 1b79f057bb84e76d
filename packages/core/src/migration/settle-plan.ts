// A move that waits for a person: what may be kept, and what keeping it means for clients and data. Pure. The doing is settle.ts.
import type { CommandFact, MigrationRecord, Side, StepName } from "./state.ts";

export interface SettlePlan {
  /** Why this side cannot be kept; undefined when it can. */
  readonly refusal: string | undefined;
  /** What it means, sentence by sentence. */
  readonly consequences: readonly string[];
}

const isOk = (commands: readonly CommandFact[], step: StepName) => commands.some((each) => each.step === step && each.outcome === "ok");

/** @param otherNodeIsDead the caller vouches that nothing can run on the node of the copy that is given up. */
export function planSettlement(
  record: MigrationRecord,
  commands: readonly CommandFact[],
  keep: Side,
  otherNodeIsDead: boolean,
): SettlePlan {
  const { workload, sourceNodeId: source, targetNodeId: target } = record;
  const isCommitted = record.committedAtMs !== undefined;
  const other = keep === "source" ? target : source;
  const vouched = otherNodeIsDead
    ? `You vouch that ${other} is gone for good. If it is not, two instances of ${workload} may run at once; its copy is destroyed as soon as ${other} is heard.`
    : `The copy on ${other} is destroyed first; nothing else is done before ${other} has confirmed it.`;
  if (keep === "target") {
    if (!isOk(commands, "restore"))
      return { refusal: `${target} never held a whole copy of ${workload}; keep the source`, consequences: [] };
    if (commands.some((each) => each.step === "abort"))
      return { refusal: `the copy on ${target} was told to go when the move was rolled back; keep the source`, consequences: [] };
    if (isCommitted) {
      return {
        refusal: undefined,
        consequences: [
          `${workload} belongs to ${target}; it is told again to run there, and it goes on from where it is.`,
          ...(record.error?.code === "PAGES_LOST"
            ? [`A part of its memory never arrived on ${target}: it will fail when it touches it. A snapshot may be the better way.`]
            : []),
          `The frozen copy on ${source} is destroyed, now or when ${source} is back: there is no way back after this.`,
        ],
      };
    }
    return {
      refusal: undefined,
      consequences: [
        vouched,
        `${workload} goes on on ${target} from the moment of the freeze.`,
        `If ${source} has run its own copy since then, what clients were told there after the freeze is lost.`,
      ],
    };
  }
  if (isCommitted) {
    return {
      refusal: undefined,
      consequences: [
        vouched,
        `${workload} goes back to ${source} as it was at the freeze${isOk(commands, "resume") ? `: everything that clients were told by ${target} since then is lost` : ""}.`,
        "Open connections go on only where the target sent nothing on them; the others are reset.",
      ],
    };
  }
  return {
    refusal: undefined,
    consequences: [
      `${workload} goes on on ${source} from where it was frozen; nothing that clients were told is lost.`,
      `Whatever ${target} holds of it is destroyed, now or when ${target} is back; it was never allowed to run.`,
    ],
  };
}
