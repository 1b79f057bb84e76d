// migrate and drain: moves as a person begins them. What guards them guards these too.
import { Fault, fault } from "@aether/contract";
import { Verdict } from "@aether/contract/gen/aether/v2/certificate_pb";
import { type Migration, MigrationMode, MigrationService, MigrationState } from "@aether/contract/gen/aether/v2/migration_pb";
import { NodeService } from "@aether/contract/gen/aether/v2/node_pb";
import { type Workload, WorkloadService, WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import { type Act, type Ask, counted, type Doing, type InputSpec, type Inputs, listed, numberOf } from "./act.ts";
import { cordon } from "./nodes.ts";
import { certificatesOf, isAlive, movesOf, nameOf, workloadsOf } from "./scope.ts";

const modes: Readonly<Record<string, MigrationMode>> = {
  auto: MigrationMode.AUTO,
  "pre-copy": MigrationMode.PRE_COPY,
  "post-copy": MigrationMode.POST_COPY,
  "stop-and-copy": MigrationMode.STOP_AND_COPY,
};
const modeInput: InputSpec = {
  name: "mode",
  type: "choice",
  description: "how memory travels",
  choices: Object.keys(modes),
  defaultValue: "auto",
};
const attemptsInput: InputSpec = {
  name: "attempts",
  type: "number",
  description: "moves that are tried of each workload: one that fails is rolled back, and the workload runs on where it was",
  defaultValue: "3",
  min: 1,
  max: 10,
};

const hasEnded = ({ endedAt }: Migration) => endedAt !== undefined;
const made = (moves: readonly Migration[]) => moves.map(({ id }) => `migration/${id}`);

type Mover = Pick<Doing, "ask" | "isOverdue" | "isJustStarted">;

interface Moving {
  readonly moves: readonly Migration[];
  /** gone: it is not on the source any more. */
  readonly is: "gone" | "moving" | "waiting" | "failed";
  readonly why: string;
  readonly error?: Fault;
}

/** Brings one workload away from where it is, with as many tries as are left. @param moves the step's own of it, the oldest first. */
async function moveAway(doing: Mover, workload: Workload, moves: readonly Migration[], inputs: Inputs, to: string): Promise<Moving> {
  const name = nameOf(workload);
  const last = moves.at(-1);
  if (last?.state === MigrationState.DONE) return { moves, is: "gone", why: `${name} is on ${last.targetNodeId}` };
  if (last?.state === MigrationState.NEEDS_OPERATOR)
    return {
      moves,
      is: "failed",
      why: `${name} needs a person`,
      error: fault("SETTLE_REFUSED", `${last.id} of ${name} must be settled by a person`),
    };
  if (last !== undefined && !hasEnded(last)) return { moves, is: "moving", why: `${name} moves to ${last.targetNodeId}` };
  // A move of somebody else is waited for; what it comes to is seen at the next look.
  if (workload.migrationId !== "") return { moves, is: "waiting", why: `${name} is being moved by ${workload.migrationId}` };
  if (workload.state === WorkloadState.LOST || workload.state === WorkloadState.NEEDS_OPERATOR)
    return {
      moves,
      is: "failed",
      why: `${name} is lost`,
      error: fault("WORKLOAD_NOT_RUNNING", `${name} cannot move: ${workload.reason || "it does not run"}`),
    };
  if (workload.state !== WorkloadState.RUNNING)
    return { moves, is: "waiting", why: `${name} is ${(WorkloadState[workload.state] ?? "").toLowerCase().replaceAll("_", " ")}` };
  const lastError = last?.error?.message ?? "";
  if (moves.length >= numberOf(inputs, "attempts"))
    return {
      moves,
      is: "failed",
      why: `${name} did not move`,
      error: fault("MOVE_FAILED", `${name} did not move in ${counted(moves.length, "attempt")}: ${lastError}`),
    };
  if (doing.isOverdue) return { moves, is: "waiting", why: `${name} has not moved: ${lastError || "no time was left"}` };
  // A node that is not heard, as all are for a moment after a restart, is not asked again and again: each refusal would be on the audit.
  const { node } = await doing.ask(NodeService.method.getNode, { id: workload.nodeId });
  if (node?.isConnected !== true) return { moves, is: "waiting", why: `${name} waits until ${workload.nodeId} is heard` };
  try {
    const { migration } = await doing.ask(MigrationService.method.startMigration, {
      workload: name,
      targetNodeId: to,
      mode: modes[inputs.mode ?? "auto"] ?? MigrationMode.AUTO,
    });
    const all = migration === undefined ? moves : [...moves, migration];
    return { moves: all, is: "moving", why: `${name} moves to ${migration?.targetNodeId}` };
  } catch (caught) {
    const problem = Fault.from(caught);
    if (problem.code !== "NO_TARGET" || !doing.isJustStarted) throw problem;
    return { moves, is: "waiting", why: `${name} waits for nodes to be heard: ${problem.message}` };
  }
}

const foretold = async (ask: Ask, names: readonly string[]) => {
  const certificates = await certificatesOf(ask, names);
  const effects: string[] = [];
  const problems: string[] = [];
  for (const name of names) {
    const certificate = certificates.get(name);
    if (certificate === undefined) effects.push(`${name}: no certificate yet, so nothing is foretold`);
    else if (certificate.verdict === Verdict.RED) problems.push(`${name} cannot leave: ${certificate.summary}`);
    else effects.push(`${name} to ${certificate.targetNodeId}, freeze about ${Math.round(certificate.freezeMs?.expected ?? 0)} ms`);
  }
  return { effects, problems };
};

/** One error for several. */
function joined(failed: readonly Moving[]): Fault {
  const [first] = failed;
  if (failed.length === 1 && first?.error !== undefined) return first.error;
  return fault(first?.error?.code ?? "MOVE_FAILED", failed.map(({ why, error }) => error?.message ?? why).join("; "));
}

export const migrate: Act = {
  name: "migrate",
  description: "Moves one workload, and waits until it runs there.",
  inputs: [
    { name: "workload", type: "workload", description: "which one" },
    { name: "to", type: "node", description: "where to; empty: the control plane picks", defaultValue: "" },
    modeInput,
    attemptsInput,
  ],
  methods: [MigrationService.method.startMigration],
  timeoutSeconds: () => 1_800,
  async preview({ ask }, { workload = "", to = "" }) {
    const { workload: found } = await ask(WorkloadService.method.getWorkload, { name: workload });
    const { effects, problems } = await foretold(ask, [workload]);
    if (to !== "" && found?.nodeId === to) return { would: `nothing: ${workload} is on ${to}` };
    return {
      would: `moves ${workload} from ${found?.nodeId || "nowhere"}${to === "" ? "" : ` to ${to}`}`,
      effects: to === "" ? effects : [],
      problems: found?.state === WorkloadState.RUNNING ? problems : [`${workload} does not run`],
    };
  },
  async look(doing, inputs) {
    const { workload = "", to = "" } = inputs;
    const { workload: found } = await doing.ask(WorkloadService.method.getWorkload, { name: workload });
    if (found === undefined) throw fault("WORKLOAD_NOT_FOUND", `there is no workload ${workload}`, { field: "workload" });
    const own = (await movesOf(doing)).get(workload) ?? [];
    if (to !== "" && found.nodeId === to && found.migrationId === "")
      return { is: "done", detail: `${workload} is on ${to}`, made: made(own) };
    const { is, why, error, moves } = await moveAway(doing, found, own, inputs, to);
    if (is === "gone") return { is: "done", detail: why, made: made(moves) };
    if (error !== undefined) return { is: "failed", error, made: made(moves) };
    return { is: "going", detail: why, made: made(moves) };
  },
};

export const drain: Act = {
  name: "drain",
  description:
    "Cordons the node and moves every workload of it away, as far as the guard rails let them go at once. What cannot move is named, and stays where it runs.",
  inputs: [{ name: "node", type: "node", description: "which one" }, modeInput, attemptsInput],
  methods: [NodeService.method.cordonNode, MigrationService.method.startMigration],
  timeoutSeconds: () => 3_600,
  async preview({ ask }, { node = "" }) {
    await ask(NodeService.method.getNode, { id: node });
    const there = (await workloadsOf(ask, { node })).filter(isAlive).map(nameOf);
    if (there.length === 0) return { would: `cordons ${node}, which is empty` };
    return { would: `cordons ${node} and moves ${listed(there)} away`, ...(await foretold(ask, there)) };
  },
  before: async (looking, inputs) => (await cordon.before?.(looking, inputs)) ?? {},
  async look(doing, inputs, before) {
    await cordon.look(doing, { ...inputs, reason: "" }, before);
    const there = (await workloadsOf(doing.ask, { node: inputs.node ?? "" })).filter(isAlive);
    const own = await movesOf(doing);
    const seen: Moving[] = [];
    for (const workload of there) {
      seen.push(
        await moveAway(doing, workload, own.get(nameOf(workload)) ?? [], inputs, "").catch((caught: unknown): Moving => {
          // One that cannot go holds no other up. What may pass is tried again at the next look.
          const error = Fault.from(caught);
          if (error.row.retry !== "never") return { moves: [], is: "waiting", why: `${nameOf(workload)}: ${error.message}` };
          return { moves: [], is: "failed", why: `${nameOf(workload)}: ${error.message}`, error };
        }),
      );
    }
    // Also of those that have left.
    const begun = made([
      ...new Map([...own.values().toArray().flat(), ...seen.flatMap(({ moves }) => moves)].map((each) => [each.id, each])).values(),
    ]);
    const under = seen.filter(({ is }) => is !== "failed" && is !== "gone");
    const failed = seen.filter(({ is }) => is === "failed");
    if (there.length === 0) return { is: "done", detail: `${inputs.node} is empty and takes no new workload`, made: begun };
    if (under.length === 0 && failed.length > 0) return { is: "failed", error: joined(failed), made: begun };
    return {
      is: "going",
      detail: `${counted(there.length, "workload")} left: ${listed(
        seen.map(({ why }) => why),
        3,
      )}`,
      made: begun,
    };
  },
  undo: async (looking, inputs, before) => cordon.undo?.(looking, inputs, before),
};
