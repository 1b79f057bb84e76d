// Certificates as a part of the control plane: recomputed every few seconds for the whole fleet, kept with their history, served.
import { fault, parseWorkloadName } from "@aether/contract";
import { CertificateSchema, CertificateService } from "@aether/contract/gen/aether/v2/certificate_pb";
import { type Logger, sleep } from "@aether/kit";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import type { RailLimits } from "../guard/rails.ts";
import { readGuards } from "../guard/store.ts";
import { cutPage, parseNumberPage, parsePage } from "../http/page-request.ts";
import type { Part } from "../part.ts";
import { certify } from "./certify.ts";
import { readCertificateFacts } from "./facts.ts";
import { createMeasurements } from "./measurements.ts";
import { saveCertificates, toCertificate, toChange } from "./store.ts";

export interface CertificatesOptions {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: Pick<AgentSessions, "isConnected">;
  /** Called back when a move has ended. */
  readonly onMoveEnded: (listener: (migrationId: string) => void) => () => void;
  readonly limits: RailLimits;
  readonly nowMs: () => number;
  readonly log: Logger;
  /** Default 5000. */
  readonly everyMs?: number;
  /** Called after each pass. */
  readonly onRefreshed?: () => void;
}

export interface Certificates extends Part {
  stop(): Promise<void>;
  /** One pass over the fleet. */
  refresh(): Promise<void>;
}

/** A pass may take this share of the time at most: a large fleet is looked at less often, not at the cost of everything else. */
const busyShare = 0.1;
/** Certificates that are written in one transaction: others have their turn between two. */
const batch = 100;
/** Changes of a workload that are kept. */
const keptChanges = 500;

/** The next so many. */
function some<Each>(from: Iterator<Each>, count: number): Each[] {
  const found: Each[] = [];
  while (found.length < count) {
    const { value, done } = from.next();
    if (done === true) break;
    found.push(value);
  }
  return found;
}

export function createCertificates(options: CertificatesOptions): Certificates {
  const { db, events, sessions, limits, nowMs, log, everyMs = 5_000 } = options;
  const measurements = createMeasurements({ db, nowMs, log });
  const stopping = new AbortController();
  const ends: (() => void)[] = [];
  let loop: Promise<void> = Promise.resolve();

  async function refresh(): Promise<void> {
    const moves = await measurements.read();
    const { isPaused } = await readGuards(db);
    const atMs = nowMs();
    const all = await readCertificateFacts({ db, isConnected: sessions.isConnected, moves, limits, isPaused, nowMs: atMs });
    const present = new Set<string>();
    while (!stopping.signal.aborted) {
      await new Promise((resolve) => setImmediate(resolve));
      const facts = some(all, batch);
      if (facts.length === 0) break;
      const names = facts.map(({ workload }) => workload);
      for (const name of names) present.add(name);
      const before = new Map(
        (await db.selectFrom("certificates").selectAll().where("workload", "in", names).execute()).map((row) => [row.workload, row]),
      );
      const made = facts.map((each) => {
        const certified = certify(each);
        const last = before.get(each.workload);
        const sinceMs = last !== undefined && last.verdict === certified.verdict ? last.since.getTime() : atMs;
        return { made: certified, certificate: toCertificate(each, certified, moves, sinceMs, atMs), before: last };
      });
      await db.transaction().execute((tx) => saveCertificates(tx, events, made));
    }
    if (stopping.signal.aborted) return;
    const known = await db.selectFrom("certificates").select("workload").execute();
    const gone = known.map(({ workload }) => workload).filter((workload) => !present.has(workload));
    if (gone.length > 0) await db.deleteFrom("certificates").where("workload", "in", gone).execute();
  }

  /** Old lines of the history of workloads that change often. */
  async function prune(): Promise<void> {
    const long = await db
      .selectFrom("certificate_changes")
      .select("workload")
      .groupBy("workload")
      .having(({ fn }) => fn.countAll(), ">", keptChanges)
      .execute();
    for (const { workload } of long) {
      const last = await db
        .selectFrom("certificate_changes")
        .select("id")
        .where("workload", "=", workload)
        .orderBy("id", "desc")
        .offset(keptChanges)
        .limit(1)
        .executeTakeFirst();
      if (last) await db.deleteFrom("certificate_changes").where("workload", "=", workload).where("id", "<=", last.id).execute();
    }
  }

  return {
    refresh,
    async start(signal) {
      const life = AbortSignal.any([signal, stopping.signal]);
      ends.push(
        options.onMoveEnded((id) => {
          measurements.note(id).catch((caught: unknown) => {
            if (!life.aborted) log.warn({ err: caught, migration: id }, "certificate.not_measured");
          });
        }),
      );
      await measurements.catchUp();
      loop = (async () => {
        for (let passes = 0; !life.aborted; passes++) {
          const startedMs = performance.now();
          try {
            await refresh();
            options.onRefreshed?.();
            if (passes % 720 === 719) await prune();
          } catch (caught) {
            if (!life.aborted) log.error({ err: caught }, "certificate.refresh_failed");
          }
          const tookMs = performance.now() - startedMs;
          await sleep(Math.max(everyMs, tookMs / busyShare), life).catch(() => undefined);
        }
      })();
    },
    async stop() {
      stopping.abort();
      for (const end of ends.splice(0)) end();
      await loop;
    },
    routes(router) {
      const notYet = (workload: string) =>
        fault("WORKLOAD_NOT_FOUND", `${JSON.stringify(workload)} has no certificate: it does not run, or was started a few seconds ago`, {
          field: "workload",
        });
      router.service(CertificateService, {
        async listCertificates({ page }) {
          const { limit, after } = parsePage(page);
          let query = db
            .selectFrom("certificates")
            .selectAll()
            .orderBy("workload")
            .limit(limit + 1);
          if (after !== undefined) query = query.where("workload", ">", after);
          const { rows, nextPageToken } = cutPage(await query.execute(), limit, (row) => row.workload);
          return { certificates: rows.map((row) => fromColumn(CertificateSchema, row.body)), nextPageToken };
        },
        async getCertificate({ workload }) {
          const name = parseWorkloadName(workload, "workload");
          const row = await db.selectFrom("certificates").selectAll().where("workload", "=", name).executeTakeFirst();
          if (row === undefined) throw notYet(name);
          return { certificate: fromColumn(CertificateSchema, row.body) };
        },
        async listCertificateHistory({ workload, page }) {
          const name = parseWorkloadName(workload, "workload");
          const { limit, after } = parseNumberPage(page);
          let query = db
            .selectFrom("certificate_changes")
            .selectAll()
            .where("workload", "=", name)
            .orderBy("id", "desc")
            .limit(limit + 1);
          if (after > 0) query = query.where("id", "<", after);
          const { rows, nextPageToken } = cutPage(await query.execute(), limit, (row) => row.id);
          return { changes: rows.map(toChange), nextPageToken };
        },
      });
    },
  };
}
