// The node's agent is killed as by kill -9, by a command that the agent itself carries out where its node allows it. The proof that it died is its
// own journal: the next agent answers that the command was begun and not ended.
import { fault } from "@aether/contract";
import { CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import { type DrillCheck, DrillCheckSchema } from "@aether/contract/gen/aether/v2/drill_pb";
import { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import type { AgentSessions } from "../fleet/sessions.ts";

const commandId = (drillId: string): string => `cmd-${drillId}`;
/** Begun later than this it would hit a node that nobody watches any more. */
const validForMs = 10_000;

/** Throws NODE_LACKS_CAPABILITY. */
export function requireChaos(node: Row<"nodes">): void {
  if (fromColumn(NodeFactsSchema, node.facts).capabilities?.supportsChaos === true) return;
  throw fault("NODE_LACKS_CAPABILITY", `${node.id} does not let drills kill its agent`, {
    field: "node_id",
    hint: "Set allowChaos: true in the agent's configuration.",
  });
}

/** Sends it; its answer comes when the agent is back, and is read from the record. Repeating it kills nothing twice: the id is the drill's. */
export function crashAgent(
  sessions: Pick<AgentSessions, "send">,
  drill: Row<"drills">,
  onRefused: (why: string) => void,
  signal: AbortSignal,
): void {
  const action = { case: "crash" as const, value: {} };
  const command = { id: commandId(drill.id), validFor: durationFromMs(validForMs), action };
  sessions.send(drill.node_id, command, AbortSignal.any([signal, AbortSignal.timeout(drill.window_seconds * 1000)])).then(
    ({ outcome, error }) => {
      if (outcome !== CommandOutcome.INTERRUPTED) onRefused(error?.message ?? "the agent lives on");
    },
    (caught: unknown) => {
      if (!signal.aborted) onRefused(caught instanceof Error ? caught.message : String(caught));
    },
  );
}

export interface CrashFacts {
  /** undefined: no answer yet. */
  readonly outcome: string | undefined;
  readonly answeredAtMs: number | undefined;
  readonly why: string;
  readonly workloads: readonly { readonly name: string; readonly state: string; readonly nodeIds: readonly string[] }[];
}

/** @param names what ran there when it began. */
export async function readCrashFacts(db: Db, drill: Row<"drills">, names: readonly string[]): Promise<CrashFacts> {
  const command = await db.selectFrom("commands").selectAll().where("id", "=", commandId(drill.id)).executeTakeFirst();
  const rows =
    names.length === 0
      ? []
      : await db
          .selectFrom("workloads")
          .leftJoin("placements", (join) => join.onRef("placements.workload", "=", "workloads.name").on("placements.is_active", "=", true))
          .select(["workloads.name", "workloads.state", "placements.node_id"])
          .where("workloads.name", "in", names)
          .execute();
  const workloads = [...Map.groupBy(rows, ({ name }) => name)].map(([name, each]) => ({
    name,
    state: each[0]?.state ?? "",
    nodeIds: each.flatMap(({ node_id }) => (node_id === null ? [] : [node_id])),
  }));
  const error = (command?.result as { error?: { message?: string } } | null | undefined)?.error?.message ?? "";
  return {
    outcome: command?.outcome ?? undefined,
    answeredAtMs: command?.finished_at?.getTime(),
    why: error,
    workloads,
  };
}

/** Killed, missed, back; and each workload runs exactly once. */
export function crashChecks(facts: CrashFacts, names: readonly string[], startedAtMs: number): DrillCheck[] {
  const check = (name: string, isPassed: boolean, detail: string) => create(DrillCheckSchema, { name, isPassed, detail });
  const isKilled = facts.outcome === "interrupted";
  const after = facts.answeredAtMs === undefined ? "" : `${((facts.answeredAtMs - startedAtMs) / 1000).toFixed(2)} s after the order`;
  const words =
    facts.outcome === undefined ? "no agent has come back" : isKilled ? `another one answered ${after}` : `${facts.outcome}: ${facts.why}`;
  return [
    check("agent killed, and back", isKilled, words),
    check("something at stake", names.length > 0, names.length === 0 ? "nothing ran on the node" : names.join(", ")),
    ...names.map((name) => {
      const found = facts.workloads.find((each) => each.name === name);
      const isOnce = found?.state === "running" && found.nodeIds.length === 1;
      return check(
        `${name} runs once`,
        isOnce,
        found === undefined ? "it is gone" : `${found.state} on ${found.nodeIds.join(", ") || "no node"}`,
      );
    }),
  ];
}
