// The link with which the browser of whoever started the cloud is signed in at one click: once, and within the hour.
import { Fault } from "@aether/contract";
import { AccountService } from "@aether/contract/gen/aether/v2/account_pb";
import { Role } from "@aether/contract/gen/aether/v2/options_pb";
import { findCore, openCore } from "../client.ts";

const name = "admin";

/** Undefined when core does not give one: the cloud runs all the same, and `aether account link` can be asked later. */
export async function signInLink(dir: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const core = openCore(await findCore({}, dir, {}));
    const accounts = core.client(AccountService);
    const options = { signal, timeoutMs: 10_000 };
    await accounts.createAccount({ name, role: Role.ADMIN }, options).catch((caught: unknown) => {
      if (Fault.from(caught).code !== "ACCOUNT_EXISTS") throw caught;
    });
    const { secret } = await accounts.createSignInLink({ name }, options);
    return `${core.url}/sign-in#${secret}`;
  } catch {
    return undefined;
  }
}
