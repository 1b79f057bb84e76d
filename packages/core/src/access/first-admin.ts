// The first start has nobody to ask: a token for an admin program is written to a file that only the owner reads, and a one-time link
// with which a person makes the first account, an admin. There is no default password.
import { unlink } from "node:fs/promises";
import { readTextIfThere, writeFileAtomic } from "@aether/kit";
import type { Accounts } from "./accounts.ts";
import type { SignInLinks } from "./links.ts";
import type { Tokens } from "./tokens.ts";

const validMs = 3650 * 86_400_000;
const linkValidMs = 7 * 86_400_000;

/** Leaves a file alone whose token is valid. A kill between row and file costs a row that nobody knows the secret of. */
export async function ensureFirstAdmin(tokens: Tokens, file: string): Promise<void> {
  const existing = (await readTextIfThere(file))?.trim();
  if (existing !== undefined && (await tokens.authenticate(existing))?.role === "admin") return;
  const { secret } = await tokens.createBearer("first-admin", "admin", validMs);
  await writeFileAtomic(file, `${secret}\n`);
}

/** While there is no account: a new link, valid for a week, in the file; the one of the last start is void. Answers its code. */
export async function offerFirstAccount(accounts: Accounts, links: SignInLinks, file: string): Promise<string | undefined> {
  if (await accounts.any()) {
    await unlink(file).catch(() => undefined); // it was used, or there never was one
    return undefined;
  }
  const { code } = await links.make(null, linkValidMs);
  await writeFileAtomic(file, `${code}\n`);
  return code;
}
