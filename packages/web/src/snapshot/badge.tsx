import { SnapshotState } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { words } from "../format/units.ts";
import { Badge, type Tone } from "../ui/badge.tsx";

export function SnapshotBadge({ state }: { state: SnapshotState }) {
  const tones: Partial<Record<SnapshotState, Tone>> = {
    [SnapshotState.CREATING]: "accent",
    [SnapshotState.READY]: "good",
    [SnapshotState.FAILED]: "bad",
    [SnapshotState.CORRUPT]: "bad",
  };
  return (
    <Badge tone={tones[state] ?? "plain"} isLive={state === SnapshotState.CREATING}>
      {words(SnapshotState[state])}
    </Badge>
  );
}
