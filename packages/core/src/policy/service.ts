// PolicyService: versions as rows. A change is one new row and one event in one transaction; what counts is read anew at each decision.
import { fault, parseLabel, parseWorkloadName } from "@aether/contract";
import { type Policy, PolicySchema, PolicyService, PolicySettingsSchema } from "@aether/contract/gen/aether/v2/policy_pb";
import { WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { create, type JsonValue } from "@bufbuild/protobuf";
import type { Kysely } from "kysely";
import type { Db } from "../db/database.ts";
import { fromColumn, stamp, toColumn } from "../db/proto.ts";
import type { Database, Row } from "../db/schema.ts";
import { isUniqueViolation } from "../db/statement-error.ts";
import type { Events } from "../events/events.ts";
import { type Caller, callerOf } from "../http/caller.ts";
import { cutPage, parseNumberPage, parsePage } from "../http/page-request.ts";
import type { Part } from "../part.ts";
import { requireWorkload } from "../workload/store.ts";
import { readPoliciesInForce, toVersion } from "./in-force.ts";
import { preview } from "./preview.ts";
import { isUnder } from "./resolve.ts";
import { describeEffective, type ParsedPolicy, parsePolicy } from "./settings.ts";

export interface PoliciesOptions {
  readonly db: Db;
  readonly events: Events;
  readonly nowMs: () => number;
}

const mostPolicies = 200;

export function createPolicies({ db, events, nowMs }: PoliciesOptions): Part {
  const notFound = (name: string, field: string) =>
    fault("POLICY_NOT_FOUND", `there is no policy ${JSON.stringify(name.slice(0, 60))}`, { field });

  /** 0: the one in force. */
  async function read(name: string, version: number, from: Kysely<Database> = db): Promise<Row<"policies">> {
    const ofName = from.selectFrom("policies").selectAll().where("name", "=", parseLabel(name, "name"));
    const row = await (version === 0
      ? ofName.where("is_in_force", "=", true)
      : ofName.where("version", "=", Math.min(version, newestPossible))
    ).executeTakeFirst();
    if (row !== undefined) return row;
    if (version === 0) throw notFound(name, "name");
    throw fault("POLICY_NOT_FOUND", `there is no version ${version} of the policy ${name}`, { field: "version" });
  }

  const readWorkloads = async () =>
    (await db.selectFrom("workloads").select(["name", "state", "spec"]).orderBy("name").execute()).map(withSpec);

  /** With the workloads that are under it now. */
  async function show(...rows: readonly Row<"policies">[]): Promise<Policy[]> {
    const workloads = rows.some((row) => row.is_in_force) ? await readWorkloads() : [];
    return rows.map((row) => {
      const version = toVersion(row);
      const under = row.is_in_force ? workloads.filter(({ said }) => isUnder(version, said.labels)) : [];
      return create(PolicySchema, {
        ...version,
        selector: { ...version.selector },
        description: row.description,
        ...stamp("changedAt", row.changed_at),
        changedBy: row.changed_by,
        workloads: under.map(({ name }) => name),
      });
    });
  }

  async function set(policy: ParsedPolicy, caller: Caller): Promise<Row<"policies">> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await db.transaction().execute((tx) => setIn(tx, policy, caller));
      } catch (caught) {
        // Somebody else made the same version in this very moment: this one is the next.
        if (!isUniqueViolation(caught) || attempt === 3) throw caught;
      }
    }
  }

  async function setIn(tx: Kysely<Database>, policy: ParsedPolicy, { actor, traceId }: Caller): Promise<Row<"policies">> {
    const { name, description, rank } = policy;
    const versions = await tx.selectFrom("policies").selectAll().where("name", "=", name).orderBy("version", "desc").forUpdate().execute();
    const inForce = versions.find((row) => row.is_in_force);
    if (inForce !== undefined && isSame(inForce, policy)) return inForce;
    if (inForce === undefined) {
      const { count } = await tx
        .selectFrom("policies")
        .select(({ fn }) => fn.countAll<string>().as("count"))
        .where("is_in_force", "=", true)
        .executeTakeFirstOrThrow();
      if (Number(count) >= mostPolicies)
        throw fault("PRECONDITION_FAILED", `there are ${mostPolicies} policies already`, { hint: "Delete one that is not needed." });
    }
    await tx.updateTable("policies").set({ is_in_force: false }).where("name", "=", name).where("is_in_force", "=", true).execute();
    const version = (versions[0]?.version ?? 0) + 1;
    const row = await tx
      .insertInto("policies")
      .values({
        name,
        version,
        description,
        selector: JSON.stringify(policy.selector),
        rank,
        settings: toColumn(PolicySettingsSchema, policy.settings),
        is_in_force: true,
        changed_at: new Date(nowMs()),
        changed_by: actor,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    const message = `${actor} has set the policy ${name}, version ${version}`;
    await events.append(tx, { type: "policy.set", subject: `policy/${name}`, message, data: { version }, traceId });
    return row;
  }

  return {
    routes(router) {
      router.service(PolicyService, {
        async setPolicy({ policy }, context) {
          const [shown] = await show(await set(parsePolicy(policy), callerOf(context)));
          return { ...(shown === undefined ? {} : { policy: shown }) };
        },
        async previewPolicy({ policy }) {
          const next = parsePolicy(policy);
          const last = await db
            .selectFrom("policies")
            .select("version")
            .where("name", "=", next.name)
            .orderBy("version", "desc")
            .limit(1)
            .executeTakeFirst();
          const { policies } = await readPoliciesInForce(db);
          return preview({ ...next, version: (last?.version ?? 0) + 1 }, policies, await readWorkloads());
        },
        async listPolicies({ page }) {
          const { limit, after } = parsePage(page);
          let query = db
            .selectFrom("policies")
            .selectAll()
            .where("is_in_force", "=", true)
            .orderBy("name")
            .limit(limit + 1);
          if (after !== undefined) query = query.where("name", ">", after);
          const { rows, nextPageToken } = cutPage(await query.execute(), limit, ({ name }) => name);
          return { policies: await show(...rows), nextPageToken };
        },
        async getPolicy({ name, version }) {
          const [policy] = await show(await read(name, version));
          return { ...(policy === undefined ? {} : { policy }) };
        },
        async listPolicyVersions({ name, page }) {
          const { limit, after } = parseNumberPage(page);
          let query = db
            .selectFrom("policies")
            .selectAll()
            .where("name", "=", parseLabel(name, "name"))
            .orderBy("version", "desc")
            .limit(limit + 1);
          if (after > 0) query = query.where("version", "<", Math.min(after, newestPossible));
          const found = await query.execute();
          if (found.length === 0 && after === 0) throw notFound(name, "name");
          const { rows, nextPageToken } = cutPage(found, limit, ({ version }) => version);
          return { policies: await show(...rows), nextPageToken };
        },
        async deletePolicy({ name }, context) {
          const { actor, traceId } = callerOf(context);
          parseLabel(name, "name");
          await db.transaction().execute(async (tx) => {
            const gone = await tx
              .updateTable("policies")
              .set({ is_in_force: false })
              .where("name", "=", name)
              .where("is_in_force", "=", true)
              .returning("version")
              .executeTakeFirst();
            if (gone === undefined) throw notFound(name, "name");
            const message = `${actor} has deleted the policy ${name}; its ${gone.version} versions stay readable`;
            await events.append(tx, {
              type: "policy.deleted",
              subject: `policy/${name}`,
              message,
              data: { version: gone.version },
              traceId,
            });
          });
          return {};
        },
        async getWorkloadPolicy({ workload }) {
          const row = await requireWorkload(db, parseWorkloadName(workload, "workload"), "workload");
          const effective = (await readPoliciesInForce(db)).ofColumn(row.spec);
          return { settings: describeEffective(effective), policies: [...effective.policies] };
        },
      });
    },
  };
}

const withSpec = ({ name, state, spec }: { name: string; state: string; spec: JsonValue }) => ({
  name,
  state,
  said: fromColumn(WorkloadSpecSchema, spec),
});

/** The column holds no more; what is asked for beyond it is not there either. */
const newestPossible = 2 ** 31 - 1;

/** The same again is no new version. */
function isSame(row: Row<"policies">, policy: ParsedPolicy): boolean {
  const { rank, selector, settings } = toVersion(row);
  const [a, b] = [Object.entries(selector), Object.entries(policy.selector)].map((entries) => JSON.stringify(entries.sort()));
  return (
    row.description === policy.description &&
    rank === policy.rank &&
    a === b &&
    toColumn(PolicySettingsSchema, settings) === toColumn(PolicySettingsSchema, policy.settings)
  );
}
