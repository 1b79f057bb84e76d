// AuditService: newest entries first, and a walk over the whole chain.
import { fault } from "@aether/contract";
import { AuditService } from "@aether/contract/gen/aether/v2/signal_pb";
import type { ConnectRouter } from "@connectrpc/connect";
import { cutPage, parseNumberPage } from "../http/page-request.ts";
import type { Audit } from "./audit.ts";

export function auditRoutes(audit: Audit): (router: ConnectRouter) => void {
  return (router) =>
    router.service(AuditService, {
      async listAudit(request) {
        const { limit, after } = parseNumberPage(request.page);
        const { rows, nextPageToken } = cutPage(await audit.list({ before: after, limit: limit + 1 }), limit, ({ sequence }) =>
          String(sequence),
        );
        return { entries: rows, nextPageToken };
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
