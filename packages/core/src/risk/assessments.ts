// Assesses every node and pool each minute and soon after a signal, keeps the newest answer of each and, when it changed by enough
// to matter, the answer in their history. A pass reads everything in a few queries, so its cost hardly depends on the size of the fleet.
import { type Assessment, AssessmentSchema } from "@aether/contract/gen/aether/v2/risk_pb";
import { faultpoint, type Logger, sleep } from "@aether/kit";
import { type Assessment as Answer, type AssessSettings, assess, DEFAULT_HAZARD_MODEL } from "@aether/risk";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Db } from "../db/database.ts";
import type { Events, NewEvent } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { newId } from "../ids.ts";
import type { Part } from "../part.ts";
import { poolName } from "../prices/pool.ts";
import { type RiskSubject, readSubjects } from "./evidence.ts";
import { levelOf, type RiskLevel } from "./level.ts";
import { riskRoutes } from "./service.ts";
import { appendHistory, cutHistory, forget, isNews, readNewest, type Said, saidBy, writeNewest } from "./store.ts";
import type { Weighing } from "./weigh.ts";

export interface AssessmentsOptions {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: Pick<AgentSessions, "onSignal" | "onHello">;
  readonly settings: RiskSettings;
  readonly weighing: Weighing;
  readonly nowMs: () => number;
  readonly log: Logger;
  /** Done after each pass: where moves are weighed. */
  readonly afterPass?: () => Promise<unknown>;
}

export interface RiskSettings {
  readonly assess: AssessSettings;
  readonly thresholds: { readonly trend: number; readonly volatilityUsd: number };
  readonly everyMs: number;
  readonly keepDays: number;
}

export interface Assessments extends Part {
  /** Assesses everything now and keeps it. Passes never overlap. */
  pass(cause: "timer" | "signal" | "start" | "price"): Promise<readonly Assessment[]>;
  stop(): Promise<void>;
}

const cutEveryMs = 3_600_000;
/** A wave is assessed once, and after its decisions: moves come first. */
const afterSignalMs = 1_000;
/** Passes may take this share of the time at most: nodes of a large fleet come and go all the time. */
const busyShare = 0.1;
/** Assessed and written in one turn. */
const atOnce = 100;

export function createAssessments(options: AssessmentsOptions): Assessments {
  const { db, events, sessions, settings, weighing, nowMs, log, afterPass } = options;
  const stopping = new AbortController();
  let loop: Promise<void> = Promise.resolve();
  let last: Promise<unknown> = Promise.resolve();
  let cutAtMs = 0;
  /** By subject, as of the last pass. */
  let said: ReadonlyMap<string, Said> | undefined;
  let tookMs = 0;
  const levels = new Map<string, RiskLevel>();

  const pass: Assessments["pass"] = (cause) => {
    const turn = last.then(() => passOnce(cause));
    last = turn.catch(() => undefined);
    return turn;
  };

  async function passOnce(cause: string): Promise<readonly Assessment[]> {
    const atMs = nowMs();
    said ??= await readNewest(db);
    const before = said;
    const subjects = await readSubjects(db, atMs);
    const prices = new Map(
      subjects.flatMap(({ subject, evidence: { readings } }) =>
        readings.spotUsdPerHour === undefined ? [] : [[subject, readings.spotUsdPerHour] as const],
      ),
    );
    await faultpoint("core.risk.before_write");
    const assessments: Assessment[] = [];
    const now = new Map<string, Said>();
    for (let from = 0; from < subjects.length && !stopping.signal.aborted; from += atOnce) {
      // Others have their turn between two.
      await new Promise((resolve) => setImmediate(resolve));
      const some = subjects
        .slice(from, from + atOnce)
        .map((subject) => messageOf(subject, assess(DEFAULT_HAZARD_MODEL, subject.evidence, settings.assess), atMs, cause));
      for (const each of some) now.set(each.subject, saidBy(each));
      await db.transaction().execute(async (tx) => {
        await writeNewest(tx, some, prices);
        await appendHistory(
          tx,
          some.filter((each) => isNews(saidBy(each), before.get(each.subject))),
        );
        await tellLevels(tx, some, before);
      });
      assessments.push(...some);
    }
    if (stopping.signal.aborted) return assessments;
    said = now;
    await forget(
      db,
      [...before.keys()].filter((subject) => !now.has(subject)),
    );
    if (atMs - cutAtMs >= cutEveryMs) {
      cutAtMs = atMs;
      await cutHistory(db, new Date(atMs - settings.keepDays * 86_400_000));
    }
    await afterPass?.();
    return assessments;
  }

  async function tellLevels(tx: Parameters<Events["append"]>[0], assessments: readonly Assessment[], before: ReadonlyMap<string, Said>) {
    const told: NewEvent[] = [];
    for (const each of assessments) {
      const known = before.get(each.subject);
      const was = levels.get(each.subject) ?? (known && levelOf(known.probability, undefined)) ?? "low";
      const is = levelOf(hourOf(each), was);
      levels.set(each.subject, is);
      if (is === was) continue;
      const first = each.contributions[0];
      told.push({
        type: `risk.${is}`,
        subject: each.subject,
        message: `the risk of ${each.subject.replace(/^(node|pool)\//, "")} is ${is}, ${was} before: an interruption within an hour is ${(100 * hourOf(each)).toFixed(0)} % likely${first ? `, first for ${first.words}` : ""}`,
        data: { assessmentId: each.id, probability: hourOf(each), was },
      });
    }
    await events.append(tx, ...told);
  }

  const attempt = async (cause: Parameters<Assessments["pass"]>[0]) => {
    const startedMs = performance.now();
    await pass(cause).catch((caught: unknown) => {
      said = undefined; // part of it may be on record
      if (!stopping.signal.aborted) log.error({ err: caught }, "risk.pass.failed");
    });
    tookMs = performance.now() - startedMs;
  };

  return {
    pass,
    routes: riskRoutes({ db, settings, weighing, nowMs }),
    async start(outer) {
      const signal = AbortSignal.any([outer, stopping.signal]);
      let soon: NodeJS.Timeout | undefined;
      const hear = () => {
        soon ??= setTimeout(
          () => {
            soon = undefined;
            void attempt("signal");
          },
          Math.max(afterSignalMs, tookMs / busyShare),
        );
      };
      // A node that has just come is not left unknown for a minute.
      const unhear = [sessions.onSignal(hear), sessions.onHello(hear)];
      const end = () => {
        for (const each of unhear) each();
        clearTimeout(soon);
      };
      signal.addEventListener("abort", end, { once: true });
      loop = (async () => {
        await attempt("start");
        while (!signal.aborted) {
          await sleep(Math.max(settings.everyMs, tookMs / busyShare), signal).catch(() => undefined);
          if (!signal.aborted) await attempt("timer");
        }
      })();
    },
    async stop() {
      stopping.abort();
      await loop;
      await last;
    },
  };
}

/** The probability within the explained horizon (an hour by default). */
export const hourOf = (assessment: Assessment): number =>
  assessment.horizons.find(({ horizonSeconds }) => horizonSeconds === assessment.explainedHorizonSeconds)?.probability ?? 0;

function messageOf(subject: RiskSubject, answer: Answer, atMs: number, cause: string): Assessment {
  return create(AssessmentSchema, {
    id: newId("asm", atMs),
    at: timestampFromMs(atMs),
    subject: subject.subject,
    pool: subject.pool === undefined ? "" : poolName(subject.pool),
    modelVersion: answer.modelVersion,
    horizons: answer.horizons.map((each) => ({ ...each })),
    explainedHorizonSeconds: answer.explainedHorizonSeconds,
    startingProbability: answer.startingProbability,
    contributions: answer.contributions.map((each) => ({ ...each })),
    missing: [...answer.missing],
    inputs: [...subject.inputs],
    cause,
  });
}
