// PolicyService: a policy's versions, what it would change, and what counts for a workload. What counts is read anew at each decision.
import { parseWorkloadName } from "@aether/contract";
import { type Policy, PolicySchema, PolicyService, PolicySettingsSchema } from "@aether/contract/gen/aether/v2/policy_pb";
import { WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { create, type JsonValue } from "@bufbuild/protobuf";
import type { Db } from "../db/database.ts";
import { fromColumn, stamp, toColumn } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import { type Caller, callerOf } from "../http/caller.ts";
import { cutPage, parseNumberPage, parsePage } from "../http/page-request.ts";
import type { Part } from "../part.ts";
import { createVersions } from "../versions/versions.ts";
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

export function createPolicies(options: PoliciesOptions): Part {
  const { db } = options;
  const policies = createVersions({
    ...options,
    table: "policies",
    noun: "policy",
    plural: "policies",
    notFound: "POLICY_NOT_FOUND",
    stays: (versions) => (versions === 1 ? "its version stays readable" : `its ${versions} versions stay readable`),
  });

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

  async function showOne(row: Row<"policies">): Promise<{ policy?: Policy }> {
    const [policy] = await show(row);
    return policy === undefined ? {} : { policy };
  }

  function set(policy: ParsedPolicy, caller: Caller): Promise<Row<"policies">> {
    const content = {
      description: policy.description,
      selector: JSON.stringify(policy.selector),
      rank: policy.rank,
      settings: toColumn(PolicySettingsSchema, policy.settings),
    };
    return policies.set(policy.name, content, caller, (row) => isSame(row, policy));
  }

  return {
    routes(router) {
      router.service(PolicyService, {
        setPolicy: async ({ policy }, context) => showOne(await set(parsePolicy(policy), callerOf(context))),
        async previewPolicy({ policy }) {
          const next = parsePolicy(policy);
          const { policies: inForce } = await readPoliciesInForce(db);
          return preview({ ...next, version: (await policies.newest(next.name)) + 1 }, inForce, await readWorkloads());
        },
        async listPolicies({ page }) {
          const asked = parsePage(page);
          const { rows, nextPageToken } = cutPage(await policies.inForce(asked), asked.limit, ({ name }) => name);
          return { policies: await show(...rows), nextPageToken };
        },
        getPolicy: async ({ name, version }) => showOne(await policies.read(name, version)),
        async listPolicyVersions({ name, page }) {
          const { rows, nextPageToken } = await policies.ofName(name, parseNumberPage(page));
          return { policies: await show(...rows), nextPageToken };
        },
        async deletePolicy({ name }, context) {
          await policies.remove(name, callerOf(context));
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
