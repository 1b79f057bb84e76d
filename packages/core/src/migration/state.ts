// One move as a persisted state machine: what is on record, and what is known beside it. The decision what to do next is `next.ts`
// (pure), the doing is `reconcile.ts`, the words below are the one vocabulary of journal, events, logs and the page's timeline.
//
//   planned -> preparing -> copying -> freezing -> restoring -> [verify] -> committed -> resumed -> done
//      |           |           |          |            |            |           |           |
//      |           |           |          |            |            |           +-----------+--> needs_operator
//      |           +-----------+----------+------------+------------+--> rolling_back -> rolled_back
//      +--> rolled_back (nothing was done yet)                                  |
//                                                                               +--> needs_operator (a frozen source that nobody reaches)
//
// preparing     preflight on the source (which picks the mode), then the target makes ready
// copying       files travel while the workload runs
// freezing      RESTORE (target) and FREEZE (source) are under way; the client waits from here on
// restoring     all has left the source; the target brings it up, stopped. Passed over where that takes a moment only
// verifying     comparing the manifests takes no time: it is a row in the journal between restoring and committed, never a resting place
// committed     the placement is on the target in epoch E+1, in the same transaction; from here on there is no way back
// resumed       the target runs and is healthy; post-copied pages are drained, then the source's frozen copy is released
// rolling_back  the target's half is destroyed, then the source thaws

import type { CommandResult } from "@aether/contract/gen/aether/v2/agent_pb";
import type { ErrorDetail } from "@aether/contract/gen/aether/v2/common_pb";
import type { MigrationPhase } from "@aether/contract/gen/aether/v2/migration_pb";
import type { JsonValue } from "@bufbuild/protobuf";
import type { MigrationModeText, MigrationStateText } from "../db/tables/moves.ts";

export type State = MigrationStateText;
export type Mode = MigrationModeText;

/** Commands to the agents, in the order of a move; the names are also the `action` of their rows. */
export const stepNames = [
  "preflight",
  "prepare",
  "copy",
  "freeze",
  "restore",
  "resume",
  "drain_pages",
  "release",
  "abort",
  "thaw",
] as const;
export type StepName = (typeof stepNames)[number];

export type Side = "source" | "target";

/** What is still owed to a node that could not be reached when the move ended; paid when it comes back. */
export type Debt = "abort" | "thaw" | "release";

/** The row of `migrations`, as the state machine sees it. Times in ms since the epoch, by core's clock. */
export interface MigrationRecord {
  readonly id: string;
  readonly workload: string;
  readonly sourceNodeId: string;
  readonly targetNodeId: string;
  readonly state: State;
  readonly requestedMode: Mode;
  /** As chosen by the source's preflight; "auto" until then. */
  readonly mode: Mode;
  readonly epochBefore: number;
  readonly cause: string;
  readonly drillId: string | undefined;
  readonly traceId: string;
  /** Named by every write and every command; grows when the lease is taken and when a roll back begins, so that agents refuse what is older. */
  readonly fence: number;
  readonly isCancelRequested: boolean;
  readonly createdAtMs: number;
  /** When the present state was entered. */
  readonly stateAtMs: number;
  /** No freeze begins after this. */
  readonly deadlineAtMs: number | undefined;
  readonly committedAtMs: number | undefined;
  /** When the target's word came that the workload runs there. */
  readonly resumedAtMs: number | undefined;
  readonly endedAtMs: number | undefined;
  /** Who goes first when not all can: the higher priority, then the order of the plan. */
  readonly priority: number;
  readonly order: number;
  readonly error: Problem | undefined;
  readonly debts: readonly Debt[];
  /** Memory that was copied ahead, ProtoJSON of MemoryCopy. */
  readonly memory?: JsonValue | undefined;
  /** What core itself did and measured; on record with the next transition. */
  readonly ownPhases?: readonly MigrationPhase[];
}

/** In place of a node's id, in phases of core itself. */
export const ownNode = "core";

/** Why a move did not end well: a row of the error table and what happened. */
export type Problem = Pick<ErrorDetail, "code" | "message"> & {
  readonly hint?: string;
  readonly details?: Readonly<Record<string, string>>;
};

/** One command and what is known of it. Without an outcome it was written down and perhaps sent: it is asked about, never blindly repeated. */
export interface CommandFact {
  readonly id: string;
  readonly step: StepName;
  readonly intendedAtMs: number;
  readonly outcome?: "ok" | "failed" | "refused" | "interrupted";
  readonly finishedAtMs?: number;
  readonly result?: CommandResult;
}

export interface NodeFact {
  readonly isConnected: boolean;
  /** Since when it is not connected; where it was not since this process began, that beginning and a time to come back. */
  readonly awaySinceMs: number;
  /** When its last session ended; undefined: none has since this process began. */
  readonly leftAtMs?: number | undefined;
  /** An interruption of it is announced. */
  readonly isInterrupted: boolean;
}

/** All that `next` may look at beside the record. Commands in the order of their intents. */
export interface Facts {
  readonly commands: readonly CommandFact[];
  readonly source: NodeFact;
  readonly target: NodeFact;
  /** The active placement is still the one that this move leaves; false where somebody removed or replaced the workload. */
  readonly isPlaced: boolean;
  /** False while as many moves leave the source as it can carry at once: this one stays planned. */
  readonly isItsTurn: boolean;
}

export const isEnded = (state: State): boolean => state === "done" || state === "rolled_back" || state === "needs_operator";

export const nodeOf = (record: Pick<MigrationRecord, "sourceNodeId" | "targetNodeId">, side: Side): string =>
  side === "source" ? record.sourceNodeId : record.targetNodeId;
