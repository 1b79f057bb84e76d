// Which role an RPC demands, and whether a caller has it. Deny by default: a method that names no role is a mistake found at start.
import { fault, Role, requiredRole } from "@aether/contract";
import { type DescMethod, type DescService, getOption } from "@bufbuild/protobuf";
import type { BearerRole } from "./tokens.ts";

/** Throws CONFIG_INVALID when a method of these services demands nothing. */
export function requireRoles(services: Iterable<DescService>): void {
  for (const service of services) {
    for (const method of service.methods) {
      if (roleOf(method) === Role.UNSPECIFIED) throw fault("CONFIG_INVALID", `${service.typeName}.${method.name} names no role`);
    }
  }
}

export const roleOf = (method: DescMethod): Role => getOption(method, requiredRole);

export const roleOfBearer: Readonly<Record<BearerRole, Role>> = {
  viewer: Role.VIEWER,
  operator: Role.OPERATOR,
  admin: Role.ADMIN,
};

/** An admin may do what an operator may, an operator what a viewer may; agents stand apart. */
export function isAllowed(required: Role, held: Role): boolean {
  if (required === Role.NONE) return true;
  if (required === Role.AGENT || held === Role.AGENT) return required === held;
  if (required === Role.VIEWER || required === Role.OPERATOR || required === Role.ADMIN) return held >= required && held <= Role.ADMIN;
  return false;
}

export const roleName = (role: Role): string => Role[role].toLowerCase();
