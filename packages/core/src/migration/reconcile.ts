// Level-based: an event only wakes; `reconcile(id)` looks at all that is known, asks `next`, writes one transition and sends what it intends,
// until there is nothing to do before something else becomes known. Between the answer to RESTORE and the sending of RESUME lies exactly one
// transaction: the holder of the lease keeps the record in memory, and the fence in each write proves that nobody else changed it.
import { fault } from "@aether/contract";
import type { MemoryCopy } from "@aether/contract/gen/aether/v2/memory_pb";
import type { MigrationPhase } from "@aether/contract/gen/aether/v2/migration_pb";
import { countCollections, faultpoint, type Logger } from "@aether/kit";
import type { Db } from "../db/database.ts";
import { createGroup } from "../db/group.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import type { RailLimits } from "../guard/rails.ts";
import { newId } from "../ids.ts";
import { createCancels } from "./cancels.ts";
import { createDebts } from "./debts.ts";
import { createFlights, isUndoing } from "./flights.ts";
import { buildCommand, commitPhase, type Held, newHeld, readSurroundings } from "./held.ts";
import { createJournal, type Lease } from "./journal.ts";
import { next } from "./next.ts";
import type { CommandFact, Facts, MigrationRecord } from "./state.ts";
import type { Step } from "./step-state.ts";
import { readCommandsOfAll } from "./store.ts";
import { createTimers } from "./timers.ts";
import { intendedAt, transition } from "./transition.ts";
import { whoseTurn } from "./turn.ts";

export interface ReconcilerOptions {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: AgentSessions;
  readonly log: Logger;
  readonly nowMs: () => number;
  /** Default: an owner of its own, 10 s, the only process on this database. */
  readonly lease?: Lease;
  /** How many moves may be under way at once, in all and from or to one node. */
  readonly limits: Pick<RailLimits, "movesAtOnce" | "movesEach">;
  /** Default 1000. */
  readonly sweepMs?: number;
}

export interface Reconciler {
  /** Look at it now. */
  wake(id: string): void;
  /** Rolls back if the commit is not made. MIGRATION_PAST_COMMIT otherwise; MIGRATION_NOT_FOUND when it has ended. */
  cancel(id: string, actor: string): Promise<void>;
  /** Phases that have ended within a command that has not. */
  livePhases(id: string): readonly MigrationPhase[];
  /** Of a move in this process's hands: what the database has of them, or is about to have. */
  commandsInHand(id: string): readonly CommandFact[] | undefined;
  /** Of a copy under way. */
  liveMemory(id: string): MemoryCopy | undefined;
  /** Pays in the background what ended moves owe to this node. */
  payDebts(nodeId: string): void;
  /** Moves were paused or resumed: counts for every move that has not begun when this returns. */
  lookAtGuards(): Promise<void>;
  /** Called after every transition and progress. */
  onChange(listener: (id: string) => void): () => void;
  /** Called when a move has ended, after it is on record. */
  onEnded(listener: (id: string) => void): () => void;
  start(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/** Moves that are taken in hand together. */
const takenAtOnce = 100;
/** Agents find a control plane that has started again within this. */
const comeBackMs = 8_000;
/** Of a move, while its command runs: some twenty. */
const mostLivePhases = 200;

export function createReconciler(options: ReconcilerOptions): Reconciler {
  const { db, events, sessions, log, nowMs, limits, sweepMs = 1_000 } = options;
  const lease = options.lease ?? { owner: newId("ses"), leaseMs: 10_000, isExclusive: true };
  const journal = createJournal(db, events, lease);
  const debts = createDebts({ db, sessions, log, nowMs });
  const helds = new Map<string, Held>();
  /** One run at a time for each move; a wake during a run is another run. */
  const running = new Map<string, { isWokenAgain: boolean; done: Promise<void> }>();
  const changed = new Set<(id: string) => void>();
  const ended = new Set<(id: string) => void>();
  let interrupted: ReadonlySet<string> = new Set();
  let isPaused = false;
  let life: AbortSignal | undefined;
  const stopping = new AbortController();
  const unsubscribe: (() => void)[] = [];
  let renewedAtMs = 0;
  /** When each node's last session ended. */
  const away = new Map<string, number>();
  let rehearsing: Promise<void> = Promise.resolve();
  const collections = countCollections();
  let begunAtMs = nowMs();
  /** Whose turn it is; undefined: to be found anew. */
  let turns: ReadonlySet<string> | undefined;

  const cancels = createCancels(journal, nowMs);
  const flights = createFlights({
    sessions,
    log,
    nowMs,
    signal: stopping.signal,
    onLanded(held) {
      if (helds.get(held.record.id) === held) wake(held.record.id);
    },
  });

  const isStopped = () => life === undefined || life.aborted || stopping.signal.aborted;
  const timers = createTimers(nowMs, (id) => wake(id));

  function wake(id: string): void {
    if (isStopped()) return;
    const run = running.get(id);
    if (run) {
      run.isWokenAgain = true;
      return;
    }
    const begun = { isWokenAgain: false, done: Promise.resolve() };
    running.set(id, begun);
    begun.done = reconcile(id)
      .catch((caught: unknown) => {
        // The record is unchanged or newer than what is held: look again at the next sweep, from the database.
        if (!isStopped()) log.error({ err: caught, migration: id }, "migration.reconcile.failed");
        drop(id);
        timers.set(id, nowMs() + 1_000);
      })
      .finally(() => {
        running.delete(id);
        if (begun.isWokenAgain) wake(id);
      });
  }

  async function reconcile(id: string): Promise<void> {
    const held = helds.get(id) ?? (await take(id));
    if (held === undefined) return cancels.refuse(id, "MIGRATION_NOT_FOUND");
    await cancels.note(held);
    for (;;) {
      if (isStopped()) return;
      const step = next(held.record, factsOf(held), nowMs());
      if (step.kind === "ended") return finish(held);
      // A move that only waits for its turn needs nothing more; of a wave most do.
      if (held.around === undefined && (step.kind !== "wait" || held.commands.some(({ outcome }) => outcome === undefined))) {
        held.around = await readSurroundings(db, held.record, nowMs());
        continue;
      }
      if (step.kind === "wait") {
        timers.set(id, step.untilMs);
        flights.all(held);
        return;
      }
      if (!(await carryOut(held, step))) {
        drop(id);
        timers.set(id, nowMs() + 50);
        return;
      }
    }
  }

  /** A wave is taken in hand with a few statements. */
  const take = createGroup(async (ids: readonly string[]): Promise<(Held | undefined)[]> => {
    const records = await journal.take(ids, nowMs());
    const commands = await readCommandsOfAll(
      db,
      records.map(({ id }) => id),
    );
    await readFleetWords();
    const taken = new Map(records.map((record): [string, Held] => [record.id, newHeld(record, commands.get(record.id) ?? [])]));
    for (const [id, held] of taken) helds.set(id, held);
    turns = undefined;
    return ids.map((id) => taken.get(id));
  }, takenAtOnce);

  async function carryOut(held: Held, step: Extract<Step, { kind: "move" | "commit" }>): Promise<boolean> {
    const before = held.record;
    const atMs = nowMs();
    const made = transition(before, step, atMs, () => newId("cmd"));
    const state = made.record.state;
    await faultpoint(`core.${state}.before_write`);
    // Commands carry the fence and the mode of the record that they are written with.
    held.record = made.record;
    turns = undefined;
    const intents = made.intents.map((intent) => buildCommand(held, intent.id, intent.step, nowMs()));
    const news = [...held.news];
    const beganMs = performance.now();
    const isWritten = await journal.write({ before, step, made, commands: held.commands, news, intents }, atMs);
    if (!isWritten) return false;
    const writeMs = performance.now() - beganMs;
    for (const each of news) held.news.delete(each);
    await faultpoint(`core.${state}.before_send`);
    held.commands.push(...intendedAt(made.intents, atMs));
    for (const [i, command] of intents.entries()) {
      const fact = made.intents[i];
      if (fact) flights.launch(held, { ...fact, intendedAtMs: atMs }, command, true);
    }
    if (step.kind === "commit") {
      const collectedMs = collections.soFar() - (held.collectedBeforeMs ?? collections.soFar());
      const phase = commitPhase(held.commands, nowMs(), writeMs, collectedMs);
      held.record = { ...held.record, ownPhases: [...(held.record.ownPhases ?? []), phase] };
    }
    if (state === "freezing" && before.state !== state) held.collectedBeforeMs = collections.soFar();
    if (state !== before.state) {
      log.info({ migration: before.id, workload: before.workload, from: before.state, to: state, why: step.why }, `migration.${state}`);
      if (state === "rolling_back") flights.stop(held, (each) => !isUndoing(each));
    }
    await faultpoint(`core.${state}.after_send`);
    for (const listener of changed) listener(before.id);
    return true;
  }

  function drop(id: string): void {
    const held = helds.get(id);
    if (held) flights.stop(held, () => true);
    helds.delete(id);
    turns = undefined;
    timers.clear(id);
  }

  function finish(held: Held): void {
    const { id, sourceNodeId } = held.record;
    drop(id);
    cancels.refuse(id, held.record.committedAtMs === undefined ? "MIGRATION_NOT_FOUND" : "MIGRATION_PAST_COMMIT");
    for (const listener of ended) listener(id);
    wakeWaiting();
    for (const node of [sourceNodeId, held.record.targetNodeId]) if (held.record.debts.length > 0) debts.pay(node);
  }

  function factsOf(held: Held): Facts {
    const { sourceNodeId, targetNodeId } = held.record;
    const node = (id: string) => ({
      isConnected: sessions.isConnected(id),
      awaySinceMs: away.get(id) ?? begunAtMs + comeBackMs,
      leftAtMs: away.get(id),
      isInterrupted: interrupted.has(id),
    });
    return {
      commands: held.commands,
      source: node(sourceNodeId),
      target: node(targetNodeId),
      isPlaced: held.around?.isPlaced ?? true,
      isItsTurn: held.record.state !== "planned" || isItsTurn(held.record),
    };
  }

  const isItsTurn = (record: MigrationRecord): boolean => {
    turns ??= whoseTurn(
      [...helds.values()].map((each) => each.record),
      { ...limits, isPaused },
    );
    return turns.has(record.id);
  };

  async function readFleetWords(): Promise<void> {
    const rows = await db.selectFrom("nodes").select("id").where("interruption_at", "is not", null).execute();
    interrupted = new Set(rows.map((row) => row.id));
    await readPaused();
  }

  async function readPaused(): Promise<void> {
    const guards = await db.selectFrom("guards").select("is_paused").executeTakeFirst();
    const now = guards?.is_paused === true;
    if (now !== isPaused) turns = undefined;
    isPaused = now;
  }

  /** Whoever waited for its turn may have it now. */
  function wakeWaiting(): void {
    for (const { record } of helds.values()) if (record.state === "planned" && isItsTurn(record)) wake(record.id);
  }

  /** Finds what no wake told of: rows of a process that died, and changes of the fleet. */
  async function sweep(): Promise<void> {
    const open = await journal.open();
    if (open.length > 0) await readFleetWords();
    if (nowMs() - renewedAtMs >= lease.leaseMs / 3 && helds.size > 0) {
      renewedAtMs = nowMs();
      await journal.renew([...helds.keys()], renewedAtMs);
    }
    for (const id of open) wake(id);
  }

  const wakeNode = (nodeId: string) => {
    for (const { record } of helds.values()) if (record.sourceNodeId === nodeId || record.targetNodeId === nodeId) wake(record.id);
  };

  return {
    wake,
    cancel(id, actor) {
      const noted = cancels.ask(id, actor);
      wake(id);
      return noted;
    },
    payDebts: (nodeId) => debts.pay(nodeId),
    async lookAtGuards() {
      await readPaused();
      wakeWaiting();
    },
    livePhases(id) {
      const { livePhases = [], record } = helds.get(id) ?? {};
      return [...livePhases, ...(record?.ownPhases ?? [])];
    },
    commandsInHand: (id) => helds.get(id)?.commands,
    liveMemory: (id) => helds.get(id)?.liveMemory,
    onChange(listener) {
      changed.add(listener);
      return () => changed.delete(listener);
    },
    onEnded(listener) {
      ended.add(listener);
      return () => ended.delete(listener);
    },
    async start(signal) {
      life = signal;
      begunAtMs = nowMs();
      unsubscribe.push(
        sessions.onHello((nodeId) => {
          wakeNode(nodeId);
          debts.pay(nodeId);
        }),
        sessions.onLost((nodeId) => {
          away.set(nodeId, nowMs());
          wakeNode(nodeId);
        }),
        sessions.onProgress((nodeId, { commandId, phase, memory }) => {
          const held = [...helds.values()].find(({ flights }) => flights.has(commandId));
          // A node speaks for itself alone, and of a move that it is part of.
          if (held === undefined || (nodeId !== held.record.sourceNodeId && nodeId !== held.record.targetNodeId)) return;
          if (memory !== undefined) held.liveMemory = memory;
          else if (phase !== undefined && phase.outcome !== "" && held.livePhases.length < mostLivePhases)
            held.livePhases.push({ ...phase, nodeId });
          else return;
          for (const listener of changed) listener(held.record.id);
        }),
      );
      await sweep();
      if (lease.isExclusive)
        rehearsing = journal.rehearse(nowMs()).catch((caught: unknown) => log.warn({ err: caught }, "migration.rehearsal"));
      for (const nodeId of sessions.connectedNodes()) debts.pay(nodeId);
      const timer = setInterval(() => {
        sweep().catch((caught: unknown) => {
          if (!isStopped()) log.error({ err: caught }, "migration.sweep.failed");
        });
      }, sweepMs);
      unsubscribe.push(() => clearInterval(timer));
    },
    async stop() {
      stopping.abort(fault("CANCELLED", "the control plane stops"));
      for (const each of unsubscribe.splice(0)) each();
      timers.stop();
      await Promise.all([...[...running.values()].map((run) => run.done), rehearsing]);
      await debts.settled();
      collections.end();
    },
  };
}
