// Who looks at this page, and what they may do. What they may not do is not shown; the control plane refuses it besides.

import type { Caller } from "@aether/contract/gen/aether/v2/account_pb";
import { Role } from "@aether/contract/gen/aether/v2/options_pb";
import { createContext, type ReactNode, useContext } from "react";

const CallerContext = createContext<Caller | undefined>(undefined);
export const CallerProvider = CallerContext;

export function useCaller(): Caller {
  const caller = useContext(CallerContext);
  if (caller === undefined) throw new Error("outside of the signed-in page");
  return caller;
}

const ranks: Partial<Record<Role, number>> = { [Role.VIEWER]: 1, [Role.OPERATOR]: 2, [Role.ADMIN]: 3 };

export type PersonRole = "viewer" | "operator" | "admin";
const needed: Readonly<Record<PersonRole, number>> = { viewer: 1, operator: 2, admin: 3 };

export function useMay(role: PersonRole): boolean {
  return (ranks[useCaller().role] ?? 0) >= needed[role];
}

/** Its children, for those who have the role. */
export function For({ as: role, children }: { as: PersonRole; children: ReactNode }) {
  return useMay(role) ? children : null;
}
