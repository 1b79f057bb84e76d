import { AccountService, SignInService } from "@aether/contract/gen/aether/v2/account_pb";
import { CertificateService } from "@aether/contract/gen/aether/v2/certificate_pb";
import { DrillService } from "@aether/contract/gen/aether/v2/drill_pb";
import { GuardService } from "@aether/contract/gen/aether/v2/guard_pb";
import { MigrationService } from "@aether/contract/gen/aether/v2/migration_pb";
import { NodeService } from "@aether/contract/gen/aether/v2/node_pb";
import { AuditService, DecisionService, EventService, SignalService } from "@aether/contract/gen/aether/v2/signal_pb";
import { WorkloadService } from "@aether/contract/gen/aether/v2/workload_pb";
import { createClient } from "@connectrpc/connect";
import { transport } from "./transport.ts";

/** What the first page needs, and what shares its messages; other nouns have a file of their own here, so that only their pages load them. */
export const api = {
  accounts: createClient(AccountService, transport),
  audit: createClient(AuditService, transport),
  certificates: createClient(CertificateService, transport),
  decisions: createClient(DecisionService, transport),
  drills: createClient(DrillService, transport),
  events: createClient(EventService, transport),
  guards: createClient(GuardService, transport),
  migrations: createClient(MigrationService, transport),
  nodes: createClient(NodeService, transport),
  signIn: createClient(SignInService, transport),
  signals: createClient(SignalService, transport),
  workloads: createClient(WorkloadService, transport),
};
