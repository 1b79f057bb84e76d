// For tests: the real database in a directory of its own, gone afterwards.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type OpenDatabase, openDatabase } from "./database.ts";

/** About 1 s; open one a test file and use other names in each test. */
export async function openScratchDatabase(): Promise<OpenDatabase & { readonly dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), "aether-core-"));
  const open = await openDatabase(dir);
  return {
    ...open,
    dir,
    async close() {
      await open.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
