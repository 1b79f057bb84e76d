// The ways that moves would take, measured now and then: the pair of each certificate, by a short transfer between the two agents. One at a time in the
// whole fleet, the pair first that was measured longest ago, and not while one of the two has a move under way: 32 MiB each minute is the budget.
import { CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import { CertificateSchema } from "@aether/contract/gen/aether/v2/certificate_pb";
import { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { type Logger, sleep } from "@aether/kit";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Kysely } from "kysely";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import type { Database } from "../db/schema.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { newId } from "../ids.ts";
import type { Part } from "../part.ts";
import type { Probed } from "./measure.ts";

export interface ProbesOptions {
  readonly db: Db;
  readonly sessions: Pick<AgentSessions, "isConnected" | "send">;
  readonly nowMs: () => number;
  readonly log: Logger;
  readonly everyMs: number;
}

/** Measured again after this long, and sooner where it did not get through; what is older than `staleMs` is not used. */
const freshMs = 15 * 60_000;
const againMs = 2 * 60_000;
const staleMs = 60 * 60_000;
const deadlineMs = 30_000;

/** By "SOURCE TARGET", as far as it was tried lately. */
export async function readProbes(db: Kysely<Database>, nowMs: number): Promise<ReadonlyMap<string, Probed>> {
  const rows = await db
    .selectFrom("link_probes")
    .selectAll()
    .where("at", ">", new Date(nowMs - staleMs))
    .execute();
  return new Map(
    rows.map((row) => [
      `${row.source_node_id} ${row.target_node_id}`,
      { bytesPerSecond: row.bytes_per_second ?? undefined, atMs: row.at.getTime() },
    ]),
  );
}

export interface Probes extends Part {
  stop(): Promise<void>;
  /** Measures one pair, if one is due. Answers it. */
  look(): Promise<string | undefined>;
}

export function createProbes({ db, sessions, nowMs, log, everyMs }: ProbesOptions): Probes {
  const stopping = new AbortController();
  let loop: Promise<void> = Promise.resolve();

  async function duePair(): Promise<readonly [source: string, target: string] | undefined> {
    const bodies = await db.selectFrom("certificates").select("body").execute();
    const probes = await db.selectFrom("link_probes").selectAll().execute();
    const moving = await db.selectFrom("migrations").select(["source_node_id", "target_node_id"]).where("ended_at", "is", null).execute();
    const busy = new Set(moving.flatMap((move) => [move.source_node_id, move.target_node_id]));
    const last = new Map(
      probes.map((row) => [
        `${row.source_node_id} ${row.target_node_id}`,
        { atMs: row.at.getTime(), restMs: row.bytes_per_second === null ? againMs : freshMs },
      ]),
    );
    const pairs = new Map<string, readonly [string, string]>();
    for (const { body } of bodies) {
      const { nodeId, targetNodeId } = fromColumn(CertificateSchema, body);
      const isUsable = targetNodeId !== "" && [nodeId, targetNodeId].every((id) => sessions.isConnected(id) && !busy.has(id));
      if (isUsable) pairs.set(`${nodeId} ${targetNodeId}`, [nodeId, targetNodeId]);
    }
    return [...pairs]
      .map(([key, pair]) => ({ pair, ...(last.get(key) ?? { atMs: 0, restMs: 0 }) }))
      .filter(({ atMs, restMs }) => nowMs() - atMs >= restMs)
      .sort((a, b) => a.atMs - b.atMs)[0]?.pair;
  }

  async function look(): Promise<string | undefined> {
    const pair = await duePair();
    if (pair === undefined) return undefined;
    const [source, target] = pair;
    const node = await db.selectFrom("nodes").select("facts").where("id", "=", target).executeTakeFirst();
    const { linkAddress = "", linkPort = 0 } = node === undefined ? {} : fromColumn(NodeFactsSchema, node.facts);
    const action = { case: "probeLink" as const, value: { peer: { nodeId: target, address: linkAddress, port: linkPort } } };
    const command = { id: newId("cmd"), validFor: durationFromMs(deadlineMs), action };
    const result = await sessions.send(source, command, AbortSignal.any([stopping.signal, AbortSignal.timeout(deadlineMs)]));
    const facts = result.outcome === CommandOutcome.OK && result.facts.case === "link" ? result.facts.value : undefined;
    if (facts === undefined) log.info({ source, target, why: result.error?.message }, "link.not_measured");
    const measured = {
      at: new Date(nowMs()),
      bytes_per_second: facts !== undefined && facts.bytesPerSecond > 0 ? facts.bytesPerSecond : null,
      round_trip_ms: facts?.roundTripMs ?? null,
    };
    await db
      .insertInto("link_probes")
      .values({ source_node_id: source, target_node_id: target, ...measured })
      .onConflict((conflict) => conflict.columns(["source_node_id", "target_node_id"]).doUpdateSet(measured))
      .execute();
    return pair.join(" ");
  }

  return {
    look,
    async start(outer) {
      const signal = AbortSignal.any([outer, stopping.signal]);
      loop = (async () => {
        while (!signal.aborted) {
          await sleep(everyMs, signal).catch(() => undefined);
          if (signal.aborted) return;
          await look().catch((caught: unknown) => {
            if (!signal.aborted) log.warn({ err: caught }, "link.not_measured");
          });
        }
      })();
    },
    async stop() {
      stopping.abort();
      await loop;
    },
  };
}
