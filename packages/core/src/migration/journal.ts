// What a move writes: who has it in hand (the lease), each transition in one transaction with the intents of its commands, and an
// append-only account of it. Every write names the fence that its writer holds; a writer whose lease is over changes nothing.
import { type Command, CommandSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { ReceiptSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import type { JsonValue } from "@bufbuild/protobuf";
import type { Kysely } from "kysely";
import { createGroup } from "../db/group.ts";
import { toColumn } from "../db/proto.ts";
import type { Database } from "../db/schema.ts";
import { urgently } from "../db/turns.ts";
import type { Events, NewEvent } from "../events/events.ts";
import { type AccountRow, type CommitChange, commit, type MigrationChange, rehearseCommit, type WrittenRows } from "./commit.ts";
import { memoryOf } from "./memory.ts";
import { assembleReceipt } from "./receipt.ts";
import { type CommandFact, isEnded, type MigrationRecord, nodeOf } from "./state.ts";
import type { Step } from "./step-state.ts";
import { steps } from "./steps/index.ts";
import { factsColumnOf, phasesColumn, phasesOf, toRecord } from "./store.ts";
import type { Transition } from "./transition.ts";

export interface Lease {
  readonly owner: string;
  readonly leaseMs: number;
  /** This process alone has the database (embedded): whoever held a lease before is dead, and nothing is waited for. */
  readonly isExclusive: boolean;
}

export interface Written {
  readonly before: MigrationRecord;
  readonly step: Extract<Step, { kind: "move" | "commit" }>;
  readonly made: Transition;
  /** All commands with what is known of them, without the new intents. */
  readonly commands: readonly CommandFact[];
  /** Ids of commands whose outcome is not in the account yet. */
  readonly news: readonly string[];
  /** The new intents, built. */
  readonly intents: readonly Command[];
}

export interface Journal {
  /** Takes the leases and raises the fences. Without those that have ended, or that somebody else has. */
  take(ids: readonly string[], nowMs: number): Promise<MigrationRecord[]>;
  renew(ids: readonly string[], nowMs: number): Promise<void>;
  /** False: the lease is lost or a cancel came in between, nothing was written. */
  write(written: Written, nowMs: number): Promise<boolean>;
  /** False: it is past the commit, or ended, or not in this process's hands. */
  requestCancel(record: MigrationRecord, actor: string, nowMs: number): Promise<boolean>;
  /** Ids of those that have not ended. */
  open(): Promise<string[]>;
  /** What the first commit alone would wait for is done. */
  rehearse(nowMs: number): Promise<void>;
}

export function createJournal(db: Kysely<Database>, events: Events, lease: Lease): Journal {
  const write = (all: readonly Writing[]) => db.transaction().execute((tx) => writeAll(tx, all));
  const writeInTurn = createGroup(write, writtenAtOnce);
  const writeSoon = createGroup((all: readonly Writing[]) => urgently(() => write(all)), writtenAtOnce);
  return {
    async take(ids, nowMs) {
      const rows = await db
        .updateTable("migrations")
        .set((eb) => ({ lease_owner: lease.owner, lease_until: new Date(nowMs + lease.leaseMs), fence: eb("fence", "+", 1) }))
        .where("id", "in", ids)
        .where("ended_at", "is", null)
        .$if(!lease.isExclusive, (query) =>
          query.where((eb) =>
            eb.or([eb("lease_until", "is", null), eb("lease_until", "<", new Date(nowMs)), eb("lease_owner", "=", lease.owner)]),
          ),
        )
        .returningAll()
        .execute();
      return rows.map(toRecord);
    },
    async renew(ids, nowMs) {
      if (ids.length === 0) return;
      // A row that is locked is being written, which renews its lease as well: to wait for it while holding others would be a deadlock.
      await db
        .updateTable("migrations")
        .set({ lease_until: new Date(nowMs + lease.leaseMs) })
        .where("id", "in", (eb) =>
          eb
            .selectFrom("migrations")
            .select("id")
            .where("id", "in", ids)
            .where("lease_owner", "=", lease.owner)
            .orderBy("id")
            .forUpdate()
            .skipLocked(),
        )
        .execute();
    },
    async write(written, nowMs) {
      if (written.step.kind !== "commit") {
        return isFrozen(written.before.state) ? writeSoon({ written, nowMs }) : writeInTurn({ written, nowMs });
      }
      const all = { owner: lease.owner, before: written.before, change: commitChangeOf(written, nowMs), rows: rowsOf(written, nowMs) };
      return urgently(() => commit(db, all, nowMs));
    },
    async requestCancel(record, actor, nowMs) {
      return db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable("migrations")
          .set({ is_cancel_requested: true, updated_at: new Date(nowMs) })
          .where("id", "=", record.id)
          .where("fence", "=", record.fence)
          .where("ended_at", "is", null)
          .where("epoch_after", "is", null)
          .returning("id")
          .executeTakeFirst();
        if (row === undefined) return false;
        await tx
          .insertInto("migration_events")
          .values({ migration_id: record.id, fence: record.fence, type: "cancel.requested", data: JSON.stringify({ actor }) })
          .execute();
        return true;
      });
    },
    async open() {
      const rows = await db.selectFrom("migrations").select("id").where("ended_at", "is", null).orderBy("created_at").execute();
      return rows.map((row) => row.id);
    },
    async rehearse(nowMs) {
      for (let i = 0; i < rehearsals; i++) await rehearseCommit(db, nowMs);
    },
  };

  function commitChangeOf({ made: { record: after }, commands }: Written, nowMs: number): CommitChange {
    return {
      state: after.state,
      mode: after.mode,
      fence: after.fence,
      facts: factsColumnOf(after, memoryOf(commands)),
      updated_at: new Date(nowMs),
      lease_until: new Date(nowMs + lease.leaseMs),
      epoch_after: after.committedAtMs === undefined ? null : after.epochBefore + 1,
    };
  }

  /** The whole row as it is to be. */
  function changeOf(written: Written, nowMs: number): MigrationChange {
    const { before, made, commands } = written;
    const after = made.record;
    const phases = phasesOf(commands, (command) => nodeOf(before, steps[command.step].side), after.ownPhases);
    const receipt = assembleReceipt(after, commands, nowMs, phases);
    return {
      ...commitChangeOf(written, nowMs),
      phases: phasesColumn(phases),
      ended_at: after.endedAtMs === undefined ? null : new Date(after.endedAtMs),
      error: after.error === undefined ? null : JSON.stringify(after.error),
      receipt: receipt === undefined ? null : toColumn(ReceiptSchema, receipt),
    };
  }

  /** Answers for each, in their order, whether it was still ours to write. */
  async function writeAll(tx: Kysely<Database>, all: readonly Writing[]): Promise<boolean[]> {
    const held = new Set<string>();
    // In one order in every process: two that lock rows in different orders could wait for each other.
    for (const { written, nowMs } of [...all].sort((a, b) => (a.written.before.workload < b.written.before.workload ? -1 : 1))) {
      const { before, made } = written;
      const row = await tx
        .updateTable("migrations")
        .set(changeOf(written, nowMs))
        .where("id", "=", before.id)
        .where("fence", "=", before.fence)
        .where("lease_owner", "=", lease.owner)
        .where("is_cancel_requested", "=", before.isCancelRequested)
        .where("ended_at", "is", null)
        .returning("id")
        .executeTakeFirst();
      if (row === undefined) continue;
      held.add(before.id);
      if (isEnded(made.record.state)) await releaseWorkload(tx, made.record);
    }
    const rows = all.filter(({ written }) => held.has(written.before.id)).map(({ written, nowMs }) => rowsOf(written, nowMs));
    const commands = rows.flatMap((each) => each.commands);
    const account = rows.flatMap((each) => each.account);
    if (commands.length > 0) await tx.insertInto("commands").values(commands).execute();
    if (account.length > 0) await tx.insertInto("migration_events").values(account).execute();
    await events.append(tx, ...rows.flatMap((each) => each.told));
    return all.map(({ written }) => held.has(written.before.id));
  }
}

interface Writing {
  readonly written: Written;
  readonly nowMs: number;
}

/** Code is compiled again, and better, when it has run a few times. */
const rehearsals = 3;

/** Moves are many at once, and a commit waits for the disk: what comes while one is written is written together. */
const writtenAtOnce = 32;

/** Its clients wait. */
const isFrozen = (state: MigrationRecord["state"]): boolean =>
  state === "freezing" || state === "restoring" || state === "verifying" || state === "committed";

function rowsOf(written: Written, nowMs: number): WrittenRows {
  const { before, made, intents } = written;
  return {
    commands: intents.map((command, i) => {
      const step = made.intents[i]?.step ?? "preflight";
      return {
        id: command.id,
        node_id: nodeOf(before, steps[step].side),
        workload: before.workload,
        migration_id: before.id,
        action: step,
        request: toColumn(CommandSchema, command),
        created_at: new Date(nowMs),
      };
    }),
    account: accountOf(written),
    told: tellingOf(written),
  };
}

/** The workload is in nobody's hands any more. */
async function releaseWorkload(tx: Kysely<Database>, record: MigrationRecord): Promise<void> {
  await tx
    .updateTable("workloads")
    .set(
      record.state === "needs_operator"
        ? { state: "needs_operator", migration_id: null, reason: record.error?.message ?? "" }
        : { state: "running", migration_id: null, reason: "" },
    )
    .where("name", "=", record.workload)
    .where("migration_id", "=", record.id)
    .execute();
}

function accountOf({ before, step, made, commands, news }: Written): AccountRow[] {
  const row = (type: string, name: string, data: { readonly [key: string]: JsonValue }): AccountRow => ({
    migration_id: before.id,
    fence: made.record.fence,
    type,
    step: name,
    data: JSON.stringify(data),
  });
  const results = commands
    .filter((command) => news.includes(command.id))
    .map((command) =>
      row("step.ended", command.step, {
        commandId: command.id,
        outcome: command.outcome ?? "",
        error: command.result?.error?.message ?? "",
      }),
    );
  const verified = step.kind === "commit" ? [row("state", "verify", { from: before.state, to: "verifying", why: step.why })] : [];
  const entered =
    made.record.state === before.state
      ? []
      : [
          row("state", "", {
            from: step.kind === "commit" ? "verifying" : before.state,
            to: made.record.state,
            why: step.why,
            error: made.record.error?.message ?? "",
          }),
        ];
  const sent = made.intents.map((intent) =>
    row("step.intended", intent.step, { commandId: intent.id, node: nodeOf(before, steps[intent.step].side) }),
  );
  return [...results, ...verified, ...entered, ...sent];
}

/** What the event stream tells: ends of steps, and states. */
function tellingOf({ before, step, made, commands, news }: Written): NewEvent[] {
  const after = made.record;
  const common = { subject: `migration/${before.id}`, traceId: before.traceId };
  const about = { workload: before.workload, sourceNodeId: before.sourceNodeId, targetNodeId: before.targetNodeId, state: after.state };
  const results = commands
    .filter((command) => news.includes(command.id))
    .map((command): NewEvent => {
      const node = nodeOf(before, steps[command.step].side);
      const how = command.outcome === "ok" ? "done" : command.outcome;
      const error = command.result?.error?.message ?? "";
      return {
        ...common,
        type: command.outcome === "ok" ? "migration.step.done" : "migration.step.failed",
        message: `${before.workload}: ${command.step.replaceAll("_", " ")} on ${node} ${how}${error === "" ? "" : `: ${error}`}`,
        data: { ...about, step: command.step, nodeId: node, tookMs: (command.finishedAtMs ?? 0) - command.intendedAtMs },
      };
    });
  if (after.state === before.state) return results;
  const message = sentences[after.state](after, step.why);
  return [...results, { ...common, type: `migration.${after.state}`, message, data: about }];
}

const sentences: Readonly<Record<MigrationRecord["state"], (record: MigrationRecord, why: string) => string>> = {
  planned: (m) => `${m.workload} moves from ${m.sourceNodeId} to ${m.targetNodeId}`,
  preparing: (m) => `${m.workload}: looked at on ${m.sourceNodeId}, made ready for on ${m.targetNodeId}`,
  copying: (m) => `${m.workload}: its files travel to ${m.targetNodeId} while it runs`,
  freezing: (m) => `${m.workload} is frozen on ${m.sourceNodeId}`,
  restoring: (m) => `${m.workload}: all has left ${m.sourceNodeId}`,
  verifying: (m) => `${m.workload}: what arrived is compared with what left`,
  committed: (m) => `${m.workload} belongs to ${m.targetNodeId}, in epoch ${m.epochBefore + 1}`,
  resumed: (m) => `${m.workload} runs on ${m.targetNodeId}`,
  done: (m, why) => `${m.workload} has moved to ${m.targetNodeId}: ${why}`,
  rolling_back: (m, why) => `${m.workload} goes back to ${m.sourceNodeId}: ${why}`,
  rolled_back: (m, why) => `${m.workload} stays on ${m.sourceNodeId}: ${why}`,
  needs_operator: (m, why) => `${m.workload} needs a person: ${why}`,
};
