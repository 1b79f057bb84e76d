// What a certificate was made of: each input with its value, where it is from and how old it is. Pure.
import type { TargetScore } from "@aether/contract/gen/aether/v2/signal_pb";
import type { CertificateFacts, Input } from "./certify.ts";
import { agoOf, mebibytes, seconds } from "./words.ts";

export function inputsOf(facts: CertificateFacts, best: TargetScore | undefined): Input[] {
  const second = facts.targets.filter((target) => target.isEligible)[1];
  const { dumpMs, restoreMs } = facts.canary;
  const isTried = dumpMs > 0 && restoreMs > 0;
  const age = facts.preflight === undefined ? "" : agoOf(facts.preflight.ageMs);
  return [
    { name: "memory", value: mebibytes(facts.memory.value), basis: facts.memory.basis, detail: facts.memory.detail },
    { name: "files", value: mebibytes(facts.files.value), basis: facts.files.basis, detail: facts.files.detail },
    { name: "dirty_rate", value: `${mebibytes(facts.dirtyRate.value)}/s`, basis: facts.dirtyRate.basis, detail: facts.dirtyRate.detail },
    {
      name: "bandwidth",
      value: `${mebibytes(facts.bandwidth.bytesPerSecond)}/s`,
      basis: facts.bandwidth.basis,
      detail: facts.bandwidth.detail,
    },
    {
      name: "mode",
      value: facts.mode.replaceAll("_", "-"),
      basis: facts.preflight === undefined ? "assumed" : "measured",
      detail: facts.modeReason,
    },
    {
      name: "preflight",
      value:
        facts.preflight === undefined ? "none" : `${facts.preflight.blockers.length} blockers, ${facts.preflight.warnings.length} warnings`,
      basis: facts.preflight === undefined ? "missing" : "measured",
      detail: age,
    },
    {
      name: "target",
      value: best?.nodeId ?? "none",
      basis: best === undefined ? "missing" : "measured",
      detail: best === undefined ? "" : second === undefined ? "there is no second choice" : `then ${second.nodeId}`,
    },
    {
      name: "room",
      value: facts.room === undefined ? "none" : `${mebibytes(facts.room.freeBytes)} free`,
      basis: facts.room === undefined ? "missing" : "measured",
      detail:
        facts.room === undefined
          ? ""
          : `of ${mebibytes(facts.room.ofBytes)}; ${mebibytes(facts.memory.value)} are counted for it${facts.turn.before.length === 0 ? "" : `, beside ${facts.turn.before.join(", ")}`}`,
    },
    {
      name: "processor",
      value: facts.processor.basis === "missing" ? "unknown" : `${facts.processor.arch}, ${facts.processor.value} features`,
      basis: facts.processor.basis,
      detail: `${facts.processor.detail}${best === undefined || facts.processor.basis === "missing" ? "" : `; ${best.nodeId} has them`}`,
    },
    {
      name: "canary",
      value: isTried ? seconds(dumpMs + restoreMs) : "none",
      basis: isTried ? "measured" : "missing",
      detail: isTried
        ? `a small process: ${seconds(dumpMs)} to dump on ${facts.nodeId}, ${seconds(restoreMs)} to restore${best === undefined ? "" : ` on ${best.nodeId}`}`
        : "its nodes have not said how long a small process takes",
    },
    {
      name: "turn",
      value: `${facts.turn.position} of ${facts.turn.count}`,
      basis: "measured",
      detail: `${facts.turn.count === 1 ? `nothing else runs on ${facts.nodeId}` : "of all that leave with it"}${facts.turn.waitMs > 0 ? `; it waits for ${seconds(facts.turn.waitMs)}` : ""}`,
    },
  ];
}
