// Plans of waves: read by the drills' page alone.
import { PlanService } from "@aether/contract/gen/aether/v2/plan_pb";
import { createClient } from "@connectrpc/connect";
import { transport } from "./transport.ts";

export const plans = createClient(PlanService, transport);
