// What lies between the phases of a freeze that the hosts tell of: their answers on the way to us, and the order to resume on its way to the target. In it are both agents'
// and our own event loops and what they are at. Pure.
import { type MigrationPhase, MigrationPhaseSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { hostClocks } from "./clocks.ts";
import type { CommandFact } from "./state.ts";

/**
 * `commit.answer`: from the end of the last phase of the freeze or the restore, whichever answer came last, until we had it. `resume.order`: from the end of the commit to the
 * first phase of the resume. Both on our clock, as far as the hosts' are known by it: `uncertaintyMs` among their facts.
 * @param own our own phases, the commit among them
 */
export function waitPhases(
  commands: readonly CommandFact[],
  nodeOf: (command: CommandFact) => string,
  own: readonly MigrationPhase[],
): MigrationPhase[] {
  const commit = own.find(({ name }) => name === "commit");
  if (commit?.startedAt === undefined) return [];
  const clocks = new Map(hostClocks(commands, nodeOf).map((clock) => [clock.nodeId, clock]));
  const spansOf = (command: CommandFact) => {
    const offsetMs = clocks.get(nodeOf(command))?.offsetMs ?? 0;
    return (command.result?.phases ?? []).flatMap(({ startedAt, durationMs }) =>
      startedAt === undefined ? [] : [{ fromMs: timestampMs(startedAt) + offsetMs, toMs: timestampMs(startedAt) + durationMs + offsetMs }],
    );
  };
  const wait = (name: string, command: CommandFact, fromMs: number, toMs: number) =>
    create(MigrationPhaseSchema, {
      name,
      nodeId: nodeOf(command),
      startedAt: timestampFromMs(Math.round(fromMs - (clocks.get(nodeOf(command))?.offsetMs ?? 0))), // as this host's other phases
      durationMs: Math.max(0, toMs - fromMs),
      outcome: "ok",
      facts: { step: command.step, uncertaintyMs: (clocks.get(nodeOf(command))?.uncertaintyMs ?? 0).toFixed(1) },
    });
  const waits: MigrationPhase[] = [];
  const [last] = commands
    .filter(({ step, finishedAtMs }) => (step === "freeze" || step === "restore") && finishedAtMs !== undefined)
    .sort((a, b) => (b.finishedAtMs ?? 0) - (a.finishedAtMs ?? 0));
  const lastSpans = last === undefined ? [] : spansOf(last);
  if (last?.finishedAtMs !== undefined && lastSpans.length > 0)
    waits.push(wait("commit.answer", last, Math.max(...lastSpans.map(({ toMs }) => toMs)), last.finishedAtMs));
  const resume = commands.findLast(({ step, result }) => step === "resume" && result !== undefined);
  const resumeSpans = resume === undefined ? [] : spansOf(resume);
  if (resume !== undefined && resumeSpans.length > 0) {
    const orderedMs = timestampMs(commit.startedAt) + commit.durationMs;
    waits.push(wait("resume.order", resume, orderedMs, Math.min(...resumeSpans.map(({ fromMs }) => fromMs))));
  }
  return waits;
}
