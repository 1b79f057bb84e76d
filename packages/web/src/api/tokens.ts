// Tokens of programs and nodes: read by the settings alone.
import { AccessService } from "@aether/contract/gen/aether/v2/access_pb";
import { createClient } from "@connectrpc/connect";
import { transport } from "./transport.ts";

export const tokenApi = createClient(AccessService, transport);
