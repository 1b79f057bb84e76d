// A move in full; what left and what arrived is its receipt's.
import { type Migration, MigrationMode, MigrationState } from "@aether/contract/gen/aether/v2/migration_pb";
import { describeCandidate } from "./decision.ts";
import { renderFacts } from "./table.ts";
import { duration, instant, word } from "./units.ts";

export function describeMigration(migration: Migration): string {
  const { candidates, error, phases, receipt } = migration;
  return [
    renderFacts([
      ["move", migration.id],
      ["workload", migration.workload],
      ["from", `${migration.sourceNodeId}, epoch ${migration.epochBefore}`],
      ["to", `${migration.targetNodeId}${migration.epochAfter > 0n ? `, epoch ${migration.epochAfter}` : ""}`],
      ["state", word(MigrationState, migration.state)],
      ["mode", word(MigrationMode, migration.mode || migration.requestedMode)],
      ["because of", migration.cause],
      ["begun", instant(migration.createdAt)],
      ["ended", migration.endedAt === undefined ? "" : instant(migration.endedAt)],
      ["frozen for", receipt === undefined ? "" : duration(receipt.freezeMs)],
      ["error", error === undefined ? "" : `${error.code}: ${error.message}`],
      ["trace", migration.traceId],
    ]),
    ...(candidates.length === 0 ? [] : ["", "Targets that were looked at:", ...candidates.map((each) => `  ${describeCandidate(each)}`)]),
    ...(phases.length === 0
      ? []
      : ["", "Phases:", ...phases.map((each) => `  ${each.name} on ${each.nodeId}: ${duration(each.durationMs)}`)]),
  ].join("\n");
}
