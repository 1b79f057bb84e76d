// AuditService: newest entries first, and a walk over the whole chain.
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
      async verifyAudit() {
        const { isIntact, entryCount, brokenAtSequence } = await audit.verify();
        return { isIntact, entryCount: BigInt(entryCount), brokenAtSequence: BigInt(brokenAtSequence) };
      },
    });
}
