// AuditService: newest entries first, and a walk over the whole chain.
import { fault } from "@aether/contract";
import { AuditService } from "@aether/contract/gen/aether/v2/signal_pb";
import type { ConnectRouter } from "@connectrpc/connect";
import { cutPage, parseNumberPage } from "../http/page-request.ts";
import { type Audit, outcomes } from "./audit.ts";

/** Beyond it a number is not whole in JavaScript; the chain is shorter. */
const newestPossible = BigInt(Number.MAX_SAFE_INTEGER);

export function auditRoutes(audit: Audit): (router: ConnectRouter) => void {
  return (router) =>
    router.service(AuditService, {
      async listAudit(request) {
        const { limit, after } = parseNumberPage(request.page);
        const { actor, action, subject, outcome } = request;
        if (outcome !== "" && !outcomes.some((each) => each === outcome))
          throw fault("INVALID_ARGUMENT", `outcome is ${outcomes.join(", ")}, not ${JSON.stringify(outcome.slice(0, 60))}`, {
            field: "outcome",
          });
        const only = { actor, action, subject, outcome };
        const found = await audit.list({ before: after, limit: limit + 1, only });
        const { rows, nextPageToken } = cutPage(found, limit, ({ sequence }) => String(sequence));
        return { entries: rows, nextPageToken };
      },
      async getAuditEntry({ sequence }) {
        const entry = sequence > 0n && sequence <= newestPossible ? await audit.get(Number(sequence)) : undefined;
        if (entry === undefined) throw fault("AUDIT_ENTRY_NOT_FOUND", `the audit has no entry ${sequence}`, { field: "sequence" });
        return { entry };
      },
      async verifyAudit({ knownSequence, knownHash }) {
        if (knownSequence < 0n || (knownSequence > 0n && !/^[0-9a-f]{64}$/.test(knownHash))) {
          throw fault("INVALID_ARGUMENT", "known_hash is the 64 hex digits of the entry known_sequence", { field: "known_hash" });
        }
        const known = knownSequence === 0n ? undefined : { sequence: Number(knownSequence), hash: knownHash };
        const { isIntact, entryCount, brokenAtSequence, reason, lastHash } = await audit.verify(known);
        return { isIntact, entryCount: BigInt(entryCount), brokenAtSequence: BigInt(brokenAtSequence), reason, lastHash };
      },
    });
}
