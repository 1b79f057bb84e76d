// Core's own SVID, issued by the authority that it holds, renewed at half of its life.
import { join } from "node:path";
import type { Clock, Logger } from "@aether/kit";
import { type Authority, coreSpiffeId, createRotatingIdentity, identityFile, type RotatingIdentity } from "@aether/kit/identity";

export function createCoreIdentity(dataDir: string, authority: Authority, ttlMs: number, clock: Clock, log: Logger): RotatingIdentity {
  return createRotatingIdentity({
    ...identityFile(join(dataDir, "core-identity.json")),
    renew: () => authority.issueMaterial(coreSpiffeId(authority.trustDomain), ttlMs),
    clock,
    log,
  });
}
