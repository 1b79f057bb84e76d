// What this agent can be told to do: one row per action of the contract. A row says who must wait for whom, what it puts an end to, and
// which call of the engine it is; how a command is kept, refused and answered is the dispatcher's.
import { fault, parseLabel } from "@aether/contract";
import type { Command, CommandResultSchema, SnapshotKey } from "@aether/contract/gen/aether/v2/agent_pb";
import type { Engine, Progress } from "@aether/engine";
import { recentLogLines } from "@aether/kit";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { Transfers } from "../link/transfers.ts";
import type { Board } from "../workloads/board.ts";
import {
  chosenModeFromProto,
  freezeToProto,
  knownRates,
  manifestToProto,
  memoryToProto,
  modeFromProto,
  peerFromProto,
  preflightToProto,
  refOf,
  resumeToProto,
  snapshotToProto,
  specFromProto,
  targetCapabilities,
  workloadOf,
} from "./convert.ts";

export type Facts = NonNullable<MessageInitShape<typeof CommandResultSchema>["facts"]>;
type ActionCase = NonNullable<Command["action"]["case"]>;
type ActionOf<Case extends ActionCase> = Extract<Command["action"], { case: Case }>["value"];

export interface ActionContext {
  readonly engine: Engine;
  readonly board: Board;
  readonly command: Command;
  readonly progress: Progress;
  /** Files to and from the control plane, beside the session. */
  readonly transfers: Transfers;
  /** Does the node's configuration let drills do harm? */
  readonly allowsChaos: boolean;
  /** Sends a chunk of output when the stream has room; false: nobody reads it any more. */
  output(chunk: Uint8Array, isEnd: boolean): Promise<boolean>;
}

interface Row<Case extends ActionCase> {
  /** Names of lanes; commands with a common one run one after the other. */
  lanes(command: Command): readonly string[];
  /** Is it refused when a newer placement is known? Not where it cleans up after one named migration. */
  readonly isEpochBound: boolean;
  /** Doing it twice is the same as doing it once, so its beginning need not wait for the disk. */
  readonly isRepeatable?: true;
  /** It changes nothing, or nothing of ours: to end it in the middle does no harm. */
  readonly isCancellable?: true;
  /** What it makes is in this machine's memory, and gone with it: its result need not outlive a loss of power, and had better not. */
  readonly isInMemory?: true;
  /** When it has gone well, clients wait for what comes next: whatever nobody waits for comes later. */
  readonly leavesFrozen?: true;
  /** Running commands of the same migration that it ends before it begins. */
  readonly supersedes?: readonly ActionCase[];
  run(action: ActionOf<Case>, context: ActionContext, signal: AbortSignal): Promise<Facts | undefined>;
}

const workloadLane = (command: Command) => [`workload/${command.workload}`];
/** RESTORE waits for what FREEZE sends from another node, so it must not stand in the way of what else this node is told. */
const restoreLane = (command: Command) => [`restore/${command.workload}`];
const bothLanes = (command: Command) => [...workloadLane(command), ...restoreLane(command)];
const noLane = () => [];

/** Longer than nearly every freeze goes on after an answer in it. */
export const frozenMs = 300;

/** After a resume: long enough for a server that was stopped for a second, short enough not to hold the release of the source. */
const healthAfterResumeMs = 5_000;

export const actions: { readonly [Case in ActionCase]: Row<Case> } = {
  startWorkload: {
    lanes: workloadLane,
    isEpochBound: true,
    async run(action, { engine, board, command }, signal) {
      const spec = specFromProto(action.spec);
      if (spec.name !== workloadOf(command))
        throw fault("INVALID_ARGUMENT", "the spec is that of another workload", { field: "spec.name" });
      await board.setHealthCheck(spec.name, action.spec?.health);
      const status = await engine.runtime.start(spec, Number(command.epoch), signal);
      return { case: "start", value: { pid: BigInt(status.pid ?? 0), address: spec.address } };
    },
  },
  stopWorkload: {
    lanes: workloadLane,
    isEpochBound: true,
    async run({ graceSeconds }, { engine, command }, signal) {
      await engine.runtime.stop(workloadOf(command), (graceSeconds || 10) * 1000, signal);
      return undefined;
    },
  },
  removeWorkload: {
    lanes: workloadLane,
    isEpochBound: true,
    async run(_action, { engine, board, command }, signal) {
      await engine.runtime.remove(workloadOf(command), signal);
      await board.forget(command.workload);
      return undefined;
    },
  },
  readLogs: {
    lanes: noLane,
    isEpochBound: false,
    isCancellable: true,
    async run({ follow, tailLines }, { engine, command, output }, signal) {
      for await (const chunk of engine.runtime.logs(workloadOf(command), { follow, tailLines }, signal)) {
        for (let at = 0; at < chunk.length; at += outputChunkBytes) {
          if (!(await output(chunk.subarray(at, at + outputChunkBytes), false))) return undefined;
        }
      }
      await output(new Uint8Array(), true);
      return undefined;
    },
  },
  readAgentLog: {
    lanes: noLane,
    isEpochBound: false,
    isCancellable: true,
    isRepeatable: true,
    async run(_action, { output }) {
      const text = Buffer.from(recentLogLines("agent").join(""));
      for (let at = 0; at < text.length; at += outputChunkBytes) {
        if (!(await output(text.subarray(at, at + outputChunkBytes), false))) return undefined;
      }
      await output(new Uint8Array(), true);
      return undefined;
    },
  },
  exec: {
    lanes: noLane,
    isEpochBound: true,
    isCancellable: true,
    async run({ argv, timeoutSeconds }, { engine, command }, signal) {
      if (argv.length === 0) throw fault("INVALID_ARGUMENT", "argv must name a command", { field: "argv" });
      const result = await engine.runtime.exec(workloadOf(command), argv, (timeoutSeconds || 60) * 1000, signal);
      return { case: "exec", value: result };
    },
  },
  preflight: {
    lanes: workloadLane,
    isEpochBound: true,
    isCancellable: true,
    async run(action, { engine, command }, signal) {
      const target = targetCapabilities(action.targetCapabilities, action.targetMemoryAvailableBytes);
      const report = await engine.source.preflight(
        workloadOf(command),
        modeFromProto(action.requestedMode),
        target,
        knownRates(action),
        signal,
      );
      return { case: "preflight", value: preflightToProto(report) };
    },
  },
  prepare: {
    lanes: workloadLane,
    isEpochBound: true,
    async run(action, { engine, board, command, progress }, signal) {
      const spec = specFromProto(action.spec);
      await board.setHealthCheck(spec.name, action.spec?.health);
      const source = parseLabel(action.sourceNodeId, "source_node_id");
      const ready = await engine.target.prepare(refOf(command), spec, source, chosenModeFromProto(action.mode), progress, signal);
      return { case: "prepare", value: ready };
    },
  },
  copy: {
    lanes: workloadLane,
    isEpochBound: true,
    async run(action, { engine, command, progress }, signal) {
      const startedMs = performance.now();
      const copied = await engine.source.copy(
        refOf(command),
        peerFromProto(action.peer),
        chosenModeFromProto(action.mode),
        {
          ...(action.timeLeft === undefined ? {} : { timeLeftMs: durationMs(action.timeLeft) }),
          isModeRequired: action.isModeRequired,
          minCpuPercent: action.minCpuPercent,
          maxFreezeMs: action.maxFreezeMs,
        },
        progress,
        signal,
      );
      const memory = copied.memory === undefined ? {} : { memory: memoryToProto(copied.memory) };
      const seconds = (performance.now() - startedMs) / 1000;
      return { case: "copy", value: { fileBytes: BigInt(copied.fileBytes), fileCount: BigInt(copied.fileCount), seconds, ...memory } };
    },
  },
  freeze: {
    lanes: workloadLane,
    isEpochBound: true,
    isInMemory: true,
    leavesFrozen: true,
    async run(action, { engine, board, command, progress }, signal) {
      const speak = board.hush(command.workload);
      try {
        const mode = chosenModeFromProto(action.mode);
        const frozen = await engine.source.freeze(refOf(command), peerFromProto(action.peer), mode, progress, signal);
        setTimeout(speak, 2 * frozenMs).unref(); // by then the board knows
        return { case: "freeze", value: freezeToProto(frozen) };
      } catch (caught) {
        speak();
        throw caught;
      }
    },
  },
  restore: {
    lanes: restoreLane,
    isEpochBound: true,
    isInMemory: true,
    leavesFrozen: true,
    async run(action, { engine, command, progress }, signal) {
      const { manifest, areImagesEqual } = await engine.target.restore(refOf(command), chosenModeFromProto(action.mode), progress, signal);
      return { case: "restore", value: { manifest: manifestToProto(manifest), areImagesEqual } };
    },
  },
  resume: {
    lanes: bothLanes,
    isEpochBound: true,
    isRepeatable: true,
    async run(_action, { engine, board, command, progress }, signal) {
      const resumed = await engine.target.resume(refOf(command), progress, signal);
      const startedAtMs = Date.now();
      const startedMs = performance.now();
      const { health, detail } = await board.untilHealthy(command.workload, healthAfterResumeMs, signal);
      const tookMs = performance.now() - startedMs;
      progress.phase({ name: "resume.health", startedAtMs, durationMs: tookMs, outcome: "ok", facts: { detail } });
      // The health check has taken a while: by now the kernel has seen more of the workload's first moments here.
      const seen = await engine.kernel.facts(command.workload);
      const kernel = seen.source === "unknown" ? resumed.kernel : { ...seen, ranAtMs: resumed.kernel.ranAtMs };
      return { case: "resume", value: { ...resumeToProto({ ...resumed, kernel }), health, healthDetail: detail } };
    },
  },
  drainPages: {
    lanes: bothLanes,
    isEpochBound: false,
    async run(_action, { engine, command, progress }, signal) {
      await engine.target.drainPages(refOf(command), progress, signal);
      return undefined;
    },
  },
  thaw: {
    lanes: workloadLane,
    isEpochBound: true,
    supersedes: ["preflight", "copy", "freeze"],
    async run({ newEpoch }, { engine, command, progress }, signal) {
      await engine.source.thaw(refOf(command), progress, signal, newEpoch === 0n ? undefined : Number(newEpoch));
      return undefined;
    },
  },
  release: {
    lanes: workloadLane,
    isEpochBound: false,
    async run(_action, { engine, board, command, progress }, signal) {
      await engine.source.release(refOf(command), progress, signal);
      await forgetIfGone(engine, board, command.workload);
      return undefined;
    },
  },
  abort: {
    lanes: bothLanes,
    isEpochBound: false,
    supersedes: ["prepare", "restore"],
    async run(_action, { engine, board, command, progress }, signal) {
      await engine.target.abort(refOf(command), progress, signal);
      await forgetIfGone(engine, board, command.workload);
      return undefined;
    },
  },
  createSnapshot: {
    lanes: workloadLane,
    isEpochBound: true,
    async run({ snapshotId, key, maxFreezeMs }, { engine, board, command, progress }, signal) {
      const limits = maxFreezeMs === 0 ? {} : { maxFreezeMs };
      const speak = board.hush(command.workload);
      try {
        const snapshot = await engine.snapshots.create(
          workloadOf(command),
          snapshotIdOf(snapshotId),
          snapshotKeyOf(key),
          limits,
          progress,
          signal,
        );
        return { case: "snapshot", value: snapshotToProto(snapshot) };
      } finally {
        speak();
      }
    },
  },
  restoreSnapshot: {
    lanes: workloadLane,
    isEpochBound: true,
    async run(action, { engine, board, command, progress }, signal) {
      const spec = specFromProto(action.spec);
      await board.setHealthCheck(spec.name, action.spec?.health);
      const status = await engine.snapshots.restore(
        snapshotIdOf(action.snapshotId),
        spec,
        Number(command.epoch),
        snapshotKeyOf(action.key),
        progress,
        signal,
      );
      return { case: "start", value: { pid: BigInt(status.pid ?? 0), address: spec.address } };
    },
  },
  verifySnapshot: {
    lanes: noLane,
    isEpochBound: false,
    async run(action, { engine, progress }) {
      await engine.snapshots.verify(snapshotIdOf(action.snapshotId), specFromProto(action.spec), progress);
      return undefined;
    },
  },
  probeLink: {
    lanes: () => ["probe"],
    isEpochBound: false,
    isCancellable: true,
    isRepeatable: true,
    async run(action, { engine }, signal) {
      const { bytesPerSecond, roundTripMs, bytes } = await engine.probe(peerFromProto(action.peer), signal);
      return { case: "link", value: { bytesPerSecond, roundTripMs, bytes: BigInt(bytes) } };
    },
  },
  exportSnapshot: {
    lanes: noLane,
    isEpochBound: false,
    isCancellable: true,
    isRepeatable: true,
    async run({ snapshotId, transferId }, { engine, transfers }, signal) {
      await transfers.send(transferId, engine.snapshots.exportTo(snapshotIdOf(snapshotId)), signal);
      return undefined;
    },
  },
  importSnapshot: {
    lanes: ({ action }) => [`snapshot/${action.case === "importSnapshot" ? action.value.snapshotId : ""}`],
    isEpochBound: false,
    isRepeatable: true,
    async run({ snapshotId, transferId }, { engine, transfers }, signal) {
      await engine.snapshots.importFrom(snapshotIdOf(snapshotId), transfers.fetch(transferId, signal), signal);
      return undefined;
    },
  },
  crash: {
    lanes: noLane,
    isEpochBound: false,
    async run(_action, { allowsChaos }) {
      if (!allowsChaos)
        throw fault("NODE_LACKS_CAPABILITY", "this node does not let drills kill its agent", {
          hint: "Set allowChaos: true in the agent's configuration.",
        });
      // Begun is on disk: the next process answers that this one did not live to see its end.
      process.kill(process.pid, "SIGKILL");
      return undefined;
    },
  },
  deleteSnapshot: {
    lanes: ({ action }) => [`snapshot/${action.case === "deleteSnapshot" ? action.value.snapshotId : ""}`],
    isEpochBound: false,
    async run({ snapshotId }, { engine }) {
      await engine.snapshots.remove(snapshotIdOf(snapshotId));
      return undefined;
    },
  },
};

const outputChunkBytes = 32 * 1024;

/** It becomes a name of a directory. */
function snapshotIdOf(text: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,63}$/.test(text)) return text;
  throw fault("INVALID_ARGUMENT", "the snapshot id is not valid", { field: "snapshot_id" });
}

/** Images of memory are secrets: without a key nothing is written. */
function snapshotKeyOf(key: SnapshotKey | undefined): { id: string; key: Uint8Array } {
  if (key?.key.length === 32 && key.id !== "") return { id: key.id, key: key.key };
  throw fault("INVALID_ARGUMENT", "the command has no key for the snapshot", { field: "key" });
}

async function forgetIfGone(engine: Engine, board: Board, workload: string): Promise<void> {
  const statuses = await engine.runtime.list();
  if (!statuses.some(({ name }) => name === workload)) await board.forget(workload);
}
