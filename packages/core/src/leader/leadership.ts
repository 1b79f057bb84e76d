// One control plane leads, the others on the same database stand by. Leading is a lease in one row, by the database's clock: it is renewed while
// the leader lives, and taken by a standby when it has run out. What keeps an old leader from doing harm is not its own good sense: its
// connections carry its term and the database refuses their writes once a newer term exists; and its connections are ended by whoever takes over,
// so that nothing that it had begun is committed afterwards.
import { type Fault, fault } from "@aether/contract";
import { type Logger, sleep } from "@aether/kit";
import { sql } from "kysely";
import type { Db } from "../db/database.ts";

export interface LeadershipParts {
  readonly db: Db;
  /** Of this process; unique. */
  readonly owner: string;
  readonly leaseMs: number;
  /** Where people find this process while it leads. */
  readonly address: string;
  /** Of the authority that this process would speak for. */
  readonly authorityPin: string;
  /** From here on this process's connections carry the term. */
  readonly claim: (term: number) => void;
  /** Ends every connection of that process to the database. */
  readonly evict: (owner: string) => Promise<void>;
  readonly log: Logger;
}

export interface Leader {
  readonly owner: string;
  readonly address: string;
}

export interface Leadership {
  readonly term: number;
  /** Resolves when it is over against this process's will. */
  readonly lost: Promise<Fault>;
  /** Gives it back, so that a standby takes over at once. */
  stop(): Promise<void>;
}

/** A standby looks this often. */
const lookMs = 250;

/**
 * Resolves when this process leads; until then `onStandby` is told who does, at the beginning and whenever it is another one, and `onAway` whenever
 * the database does not answer: it is waited for.
 * Throws CONFIG_INVALID when another authority is on record, or the signal's reason.
 */
export async function takeLeadership(
  parts: LeadershipParts,
  signal: AbortSignal,
  onStandby: (leader: Leader) => void,
  onAway: () => void = () => undefined,
): Promise<Leadership> {
  const { db, owner, log } = parts;
  let known: string | undefined;
  for (;;) {
    signal.throwIfAborted();
    const askedMs = performance.now();
    const taken = await attempt(parts).catch((caught: unknown) => {
      if (caught instanceof Error && "code" in caught && caught.code === "CONFIG_INVALID") throw caught;
      log.warn({ err: caught }, "leadership.look_failed");
      known = undefined;
      onAway();
      return undefined;
    });
    if (taken !== undefined && "term" in taken) {
      if (taken.before !== "" && taken.before !== owner) await parts.evict(taken.before);
      parts.claim(taken.term);
      log.info({ term: taken.term, before: taken.before }, "leadership.taken");
      return hold(parts, taken.term, askedMs);
    }
    if (taken !== undefined && taken.owner !== known) {
      known = taken.owner;
      log.info({ leader: taken.owner, address: taken.address }, "leadership.standby");
      onStandby(taken);
    }
    await sleep(lookMs, signal);
  }

  function hold(options: LeadershipParts, term: number, provenMs: number): Leadership {
    const stopping = new AbortController();
    const { promise: lost, resolve } = Promise.withResolvers<Fault>();
    const loop = renew(options, term, provenMs, stopping.signal).then((reason) => {
      if (reason !== undefined) resolve(reason);
    });
    return {
      term,
      lost,
      async stop() {
        stopping.abort();
        await loop;
        await sql`update leadership set until = clock_timestamp() where owner = ${owner} and term = ${term}`
          .execute(db)
          .catch(() => undefined);
      },
    };
  }
}

async function attempt({ db, owner, leaseMs, address, authorityPin }: LeadershipParts): Promise<{ term: number; before: string } | Leader> {
  return db.transaction().execute(async (tx) => {
    const { rows } = await sql<{ owner: string; address: string; authority_pin: string; is_free: boolean }>`
      select owner, address, authority_pin, until is null or until < clock_timestamp() or owner = ${owner} as is_free
      from leadership for update`.execute(tx);
    const row = rows[0];
    if (row === undefined) throw fault("INTERNAL", "the row of the leadership is missing");
    if (row.authority_pin !== "" && row.authority_pin !== authorityPin) {
      throw fault("CONFIG_INVALID", "this control plane has another certificate authority than the one that its agents know", {
        field: "authorityDir",
        hint: "Give every control plane of a database the same authority.pem: copy it from the first one's directory, or set authorityDir to a directory that all reach.",
      });
    }
    if (!row.is_free) return { owner: row.owner, address: row.address };
    // At least the second in which it began: agents remember the highest, and a database that came back from a backup must not go below it.
    const taken = await sql<{ term: string | number }>`
      update leadership set term = greatest(term + 1, extract(epoch from clock_timestamp())::bigint), owner = ${owner}, address = ${address}, authority_pin = ${authorityPin},
        until = clock_timestamp() + make_interval(secs => ${leaseMs / 1000})
      returning term`.execute(tx);
    return { term: Number(taken.rows[0]?.term), before: row.owner };
  });
}

/**
 * Answers why it is over, or undefined when it was stopped. By the monotonic clock of this process it ends no later than the row's time; but one that
 * stood still beyond that has a third of the lease to ask. What it writes meanwhile carries its term, which the database refuses once there is another.
 */
async function renew(
  { db, owner, leaseMs, log }: LeadershipParts,
  term: number,
  takenMs: number,
  signal: AbortSignal,
): Promise<Fault | undefined> {
  let provenMs = takenMs;
  while (!signal.aborted) {
    await sleep(leaseMs / 6, signal).catch(() => undefined);
    if (signal.aborted) return undefined;
    const askedMs = performance.now();
    const leftMs = leaseMs - (askedMs - provenMs);
    // A process that itself stood still for longer than its lease asks before it gives up: as long as nobody took another term, nobody else led.
    const overdue = AbortSignal.timeout(Math.ceil(leftMs > 0 ? leftMs : leaseMs / 3));
    const result = await Promise.race([
      sql<{ term: string }>`update leadership set until = clock_timestamp() + make_interval(secs => ${leaseMs / 1000})
        where owner = ${owner} and term = ${term} returning term`
        .execute(db)
        .then(({ rows }) => (rows.length === 1 ? ("held" as const) : ("over" as const)))
        .catch((caught: unknown) => {
          log.warn({ err: caught }, "leadership.not_renewed");
          return "unknown" as const;
        }),
      new Promise<"late">((resolve) => overdue.addEventListener("abort", () => resolve("late"), { once: true })),
    ]);
    if (result === "held") provenMs = askedMs;
    else if (result === "over") return fault("LEADERSHIP_LOST", "another control plane leads now");
    else if (result === "late" || performance.now() - provenMs >= leaseMs)
      return fault("LEADERSHIP_LOST", `the lease of ${leaseMs} ms could not be renewed: the database did not answer in time`);
  }
  return undefined;
}
