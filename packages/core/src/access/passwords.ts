// Passwords at rest: argon2id with OWASP's first choice of parameters (19 MiB, 2 passes, 1 lane;
// https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html). A check takes tens of milliseconds, on purpose.
import { fault } from "@aether/contract";
import { hash, verify } from "@node-rs/argon2";

const parameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };
const longest = 200;

/** Throws PASSWORD_WEAK, naming the field. Length is what counts (NIST SP 800-63B, 5.1.1.2); no rules about kinds of characters. */
export function checkPassword(password: string, accountName: string, field: string): void {
  const problem =
    [...password].length < 12
      ? "a password has at least 12 characters"
      : password.length > longest
        ? `a password has at most ${longest} characters`
        : new Set(password).size < 5
          ? "a password repeats more than a few characters"
          : password.toLowerCase().includes(accountName.toLowerCase()) && password.length - accountName.length < 8
            ? "a password is not the account's name"
            : undefined;
  if (problem !== undefined) throw fault("PASSWORD_WEAK", problem, { field });
}

export const hashPassword = (password: string): Promise<string> => hash(password, parameters);

let nobody: Promise<string> | undefined;

/** Takes as long when there is nothing to compare with, so that the time tells nobody which names exist. */
export async function isPassword(password: string, kept: string | null): Promise<boolean> {
  nobody ??= hash("nobody has this one", parameters);
  const isRight = await verify(kept ?? (await nobody), password.slice(0, longest + 1));
  return kept !== null && isRight && password.length <= longest;
}
