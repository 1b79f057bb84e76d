// A migration as it happens: one line a state, one a phase, each printed once.
import { type Migration, MigrationMode, MigrationState } from "@aether/contract/gen/aether/v2/migration_pb";
import { describePass } from "./memory.ts";
import { duration, word } from "./units.ts";

/** The answer is called with each newer view of the same migration. */
export function createPhasePrinter(say: (text: string) => void): (migration: Migration) => void {
  let state: MigrationState = MigrationState.UNSPECIFIED;
  const printed = new Set<string>();
  return (migration) => {
    if (state === MigrationState.UNSPECIFIED)
      say(`${migration.id}: ${migration.workload} from ${migration.sourceNodeId} to ${migration.targetNodeId}`);
    for (const phase of migration.phases) {
      if (phase.name.startsWith("copy.pass-")) continue; // told below, with what they mean
      const key = `${phase.nodeId} ${phase.name} ${phase.startedAt?.seconds}.${phase.startedAt?.nanos}`;
      if (printed.has(key)) continue;
      printed.add(key);
      say(`  ${phase.outcome === "ok" ? "✓" : "✗"} ${phase.name.padEnd(24)} ${phase.nodeId.padEnd(6)} ${duration(phase.durationMs)}`);
    }
    for (const round of migration.memory?.rounds ?? []) {
      const key = `pass ${round.number}`;
      if (printed.has(key)) continue;
      printed.add(key);
      say(`    ${describePass(round)}`);
    }
    if (migration.state !== state) {
      state = migration.state;
      const mode =
        state === MigrationState.COPYING && migration.mode !== MigrationMode.UNSPECIFIED ? ` (${word(MigrationMode, migration.mode)})` : "";
      say(`${word(MigrationState, state)}${mode}`);
    }
  };
}
