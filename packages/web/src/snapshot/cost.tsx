// What a snapshot cost, of what it is a continuation, and what a loss right before it would have cost.
import { type Snapshot, SnapshotState } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { bytes, count, duration, plural } from "../format/units.ts";
import { Facts } from "../ui/facts.tsx";
import { SubjectLink } from "../ui/links.tsx";
import { Time } from "../ui/time.tsx";

export function SnapshotCost({ snapshot }: { snapshot: Snapshot }) {
  const { id, state, cause, epoch, tier, verifiedAt, manifestSha256, isPinned, pinReason } = snapshot;
  return (
    <div className="grid items-start gap-x-8 gap-y-1.5 lg:grid-cols-2">
      <Facts
        facts={
          state === SnapshotState.READY || state === SnapshotState.CORRUPT
            ? costOf(snapshot)
            : [["cost", "not measured: it was not finished"]]
        }
      />
      <Facts
        facts={[
          ["id", <code className="font-mono text-xs">{id}</code>],
          [
            "made for",
            cause === "" || cause === "operator" ? (
              "whoever asked by hand"
            ) : cause === "rpo" ? (
              "its objective (RPO)"
            ) : (
              <SubjectLink subject={cause} />
            ),
          ],
          ["epoch", String(epoch)],
          tier !== "" && ["kept", tier],
          isPinned && ["pinned", pinReason || "without a reason"],
          ["verified", verifiedAt === undefined ? "not since it was made" : <Time at={verifiedAt} />],
          manifestSha256 !== "" && ["manifest", <code className="font-mono text-xs break-all">{manifestSha256}</code>],
        ]}
      />
    </div>
  );
}

type FactList = Parameters<typeof Facts>[0]["facts"];

function costOf(snapshot: Snapshot): FactList {
  const { readBytes, storedBytes, chunkCount, newChunkCount, cpuSeconds, totalMs, freezeMs, freezeBytes, maxFreezeMs } = snapshot;
  const { sinceSnapshotId, wholeBecause, exposedMs } = snapshot;
  const frozen = [
    maxFreezeMs > 0 ? ` of at most ${duration(maxFreezeMs)}` : "",
    freezeBytes > 0n ? `; ${bytes(freezeBytes)} of memory were read meanwhile` : "",
  ].join("");
  return [
    readBytes > 0n && ["read", `${bytes(readBytes)} of memory and files`],
    [
      "of its memory",
      sinceSnapshotId !== "" ? (
        <>
          what was written since <SubjectLink subject={`snapshot/${sinceSnapshotId}`} />
        </>
      ) : (
        `all of it${wholeBecause === "" ? "" : `: ${wholeBecause}`}`
      ),
    ],
    [
      "written",
      `${bytes(storedBytes)} to the store${chunkCount === 0 ? "" : `: ${count(newChunkCount)} of ${plural(chunkCount, "chunk")} ${newChunkCount === 1 ? "is" : "are"} new`}`,
    ],
    ["frozen for", `${duration(freezeMs)}${frozen}`],
    ["took", `${duration(totalMs)}, ${duration(cpuSeconds * 1000)} of CPU`],
    [
      "exposed for",
      exposedMs > 0
        ? `${duration(exposedMs)}: so much work a loss right before it would have cost`
        : "it is the first one: nothing was kept before",
    ],
  ];
}
