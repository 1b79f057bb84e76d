// A pool: the spot instances of one type in one zone. Its name is pool/REGION/ZONE/INSTANCE_TYPE everywhere.
import { fault } from "@aether/contract";
import type { NodeFacts } from "@aether/contract/gen/aether/v2/node_pb";
import type { PoolKey } from "@aether/risk";

const part = /^[a-z0-9][a-z0-9.-]{0,39}$/;

export const poolName = ({ region, zone, instanceType }: PoolKey): string => `pool/${region}/${zone}/${instanceType}`;

/** Throws INVALID_ARGUMENT that names the field. */
export function parsePoolName(text: string, field: string): PoolKey {
  const [kind, region = "", zone = "", instanceType = "", ...rest] = text.split("/");
  if (kind !== "pool" || rest.length > 0 || ![region, zone, instanceType].every((each) => part.test(each)))
    throw fault("INVALID_ARGUMENT", `${field} is pool/REGION/ZONE/INSTANCE_TYPE, not ${JSON.stringify(text.slice(0, 100))}`, { field });
  return { region, zone, instanceType };
}

/** The pool of a node; undefined where its cloud did not say. */
export function poolOf(facts: NodeFacts): PoolKey | undefined {
  const { region = "", zone = "", instanceType = "" } = facts.cloud ?? {};
  return region !== "" && zone !== "" && instanceType !== "" ? { region, zone, instanceType } : undefined;
}

/** A spot instance, or one that did not say: an on-demand instance is not interrupted by the market. */
export const isSpot = (facts: NodeFacts): boolean => facts.cloud?.lifecycle !== "on-demand";
