// The modes of a move, as text on record and as the contract's enumeration on the wire.
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import type { Mode } from "./state.ts";

const modes: Readonly<Record<Mode, MigrationMode>> = {
  auto: MigrationMode.AUTO,
  pre_copy: MigrationMode.PRE_COPY,
  post_copy: MigrationMode.POST_COPY,
  stop_and_copy: MigrationMode.STOP_AND_COPY,
};

export const modeToProto = (mode: Mode): MigrationMode => modes[mode];

/** UNSPECIFIED means auto; a number that this version does not know is undefined. */
export function modeFromProto(mode: MigrationMode): Mode | undefined {
  if (mode === MigrationMode.UNSPECIFIED) return "auto";
  return (Object.keys(modes) as Mode[]).find((name) => modes[name] === mode);
}
