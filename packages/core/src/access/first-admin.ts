// The first start has nobody to ask for a token: one for an admin is written to a file that only the owner reads.
import { readTextIfThere, writeFileAtomic } from "@aether/kit";
import type { Tokens } from "./tokens.ts";

const validMs = 3650 * 86_400_000;

/** Leaves a file alone whose token is valid. A kill between row and file costs a row that nobody knows the secret of. */
export async function ensureFirstAdmin(tokens: Tokens, file: string): Promise<void> {
  const existing = (await readTextIfThere(file))?.trim();
  if (existing !== undefined && (await tokens.authenticate(existing))?.role === "admin") return;
  const { secret } = await tokens.createBearer("first-admin", "admin", validMs);
  await writeFileAtomic(file, `${secret}\n`);
}
