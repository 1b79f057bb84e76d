// AccessService: tokens for people and programs, join tokens for nodes.

import { fault, parseNodeId, Role } from "@aether/contract";
import { AccessService, type Token, TokenSchema } from "@aether/contract/gen/aether/v2/access_pb";
import { type Authority, createJoinToken } from "@aether/kit/identity";
import { create } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { stamp } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import type { TokenRole } from "../db/tables/access.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import type { Tokens } from "./tokens.ts";

const daysMs = 86_400_000;
const defaultValidMs: Readonly<Record<TokenRole, number>> = {
  viewer: 90 * daysMs,
  operator: 90 * daysMs,
  admin: 90 * daysMs,
  agent: 3_600_000,
};
const maxValidSeconds = 3650 * 86_400;

const roles: Partial<Record<Role, TokenRole>> = {
  [Role.VIEWER]: "viewer",
  [Role.OPERATOR]: "operator",
  [Role.ADMIN]: "admin",
  [Role.AGENT]: "agent",
};
const protoRoles: Readonly<Record<TokenRole, Role>> = {
  viewer: Role.VIEWER,
  operator: Role.OPERATOR,
  admin: Role.ADMIN,
  agent: Role.AGENT,
};

export function accessRoutes(tokens: Tokens, authority: Authority): (router: ConnectRouter) => void {
  return (router) =>
    router.service(AccessService, {
      async createToken({ name, role, validSeconds, nodeId }) {
        const kind = roles[role];
        if (kind === undefined) throw fault("INVALID_ARGUMENT", "role must be viewer, operator, admin or agent", { field: "role" });
        if (!/^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$/.test(name)) {
          throw fault("INVALID_ARGUMENT", "name must be 1 to 63 of a-z, A-Z, 0-9, dot, dash and underscore", { field: "name" });
        }
        if (validSeconds > maxValidSeconds)
          throw fault("INVALID_ARGUMENT", "valid_seconds is at most ten years", { field: "valid_seconds" });
        if (nodeId !== "" && kind !== "agent") throw fault("INVALID_ARGUMENT", "node_id belongs to the role AGENT", { field: "node_id" });
        const isOfNode = nodeId !== "";
        const validMs = validSeconds === 0 ? (isOfNode ? defaultValidMs.viewer : defaultValidMs[kind]) : validSeconds * 1000;
        if (isOfNode) {
          const { row, secret } = await tokens.createNodeBearer(name, parseNodeId(nodeId, "node_id"), validMs);
          return { token: toToken(row), secret };
        }
        if (kind === "agent") {
          const { token, secretHash } = createJoinToken(authority.spkiPin());
          return { token: toToken(await tokens.addJoin(name, secretHash, validMs)), secret: token };
        }
        const { row, secret } = await tokens.createBearer(name, kind, validMs);
        return { token: toToken(row), secret };
      },
      async listTokens(request) {
        const { limit, after } = parsePage(request.page);
        const { rows, nextPageToken } = cutPage(await tokens.list(limit + 1, after), limit, ({ id }) => id);
        return { tokens: rows.map(toToken), nextPageToken };
      },
      async revokeToken({ id }) {
        await tokens.revoke(id);
        return {};
      },
    });
}

function toToken(row: Row<"tokens">): Token {
  return create(TokenSchema, {
    id: row.id,
    name: row.name,
    role: protoRoles[row.role],
    nodeId: row.node_id ?? "",
    ...stamp("createdAt", row.created_at),
    ...stamp("expiresAt", row.expires_at),
    ...stamp("usedAt", row.used_at),
    isRevoked: row.revoked_at !== null,
  });
}
