// Facts of nodes by what they say: they are large, read in every pass over the fleet, and hardly ever change. The database keeps a hash of each row's;
// who has parsed a text once does not read it again, also when a thousand nodes say the same.
import { type NodeFacts, NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import type { Kysely } from "kysely";
import { fromColumn } from "../db/proto.ts";
import type { Database } from "../db/schema.ts";

const known = new Map<string, NodeFacts>();
/** More than a fleet has; what is beyond is read again. */
const most = 20_000;
const atOnce = 500;

/** Of each of these hashes (`nodes.facts_hash`). What is answered is shared: it must not be changed. */
export async function readFacts(db: Kysely<Database>, hashes: readonly string[]): Promise<(hash: string) => NodeFacts | undefined> {
  const missing = [...new Set(hashes)].filter((hash) => !known.has(hash));
  if (known.size + missing.length > most) known.clear();
  for (let from = 0; from < missing.length; from += atOnce) {
    const rows = await db
      .selectFrom("nodes")
      .distinctOn("facts_hash")
      .select(["facts_hash", "facts"])
      .where("facts_hash", "in", missing.slice(from, from + atOnce))
      .orderBy("facts_hash")
      .execute();
    for (const { facts_hash, facts } of rows) known.set(facts_hash, fromColumn(NodeFactsSchema, facts));
  }
  return (hash) => known.get(hash);
}
