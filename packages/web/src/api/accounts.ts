// Accounts of people: changed by the settings alone.
import { type Account, GetAccountResponseSchema, UpdateAccountResponseSchema } from "@aether/contract/gen/aether/v2/account_pb";
import { Role } from "@aether/contract/gen/aether/v2/options_pb";
import { changeUnlessOvertaken } from "./if-match.ts";

export interface AccountChange {
  readonly role?: Role;
  readonly isDisabled?: boolean;
}

/** Of one that still is as it was seen. Throws Overtaken with the GetAccountResponse of now, or with undefined where it was deleted. */
export const changeAccount = (seen: Account, { role, isDisabled }: AccountChange) =>
  changeUnlessOvertaken({
    path: `/api/v2/accounts/${encodeURIComponent(seen.name)}`,
    type: GetAccountResponseSchema,
    isSame: (now) => now?.account !== undefined && now.account.role === seen.role && now.account.isDisabled === seen.isDisabled,
    method: "PATCH",
    body: { ...(role === undefined ? {} : { role: `ROLE_${Role[role]}` }), ...(isDisabled === undefined ? {} : { isDisabled }) },
    answer: UpdateAccountResponseSchema,
  });
