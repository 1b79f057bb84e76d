// A local cloud for a measurement: that of a given directory, or one of its own that is taken down again.
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface OwnCloud {
  readonly dir: string;
  close(): Promise<void>;
}

export async function openOwnCloud(given: string | undefined): Promise<OwnCloud> {
  if (given !== undefined) return { dir: given, close: async () => undefined };
  const dir = await mkdtemp(join(tmpdir(), "aether-bench-"));
  const aether = (...args: string[]) => {
    const program = join(import.meta.dirname, "../../packages/cli/bin/aether.mjs");
    execFileSync(process.execPath, [program, ...args, "--dir", dir], { stdio: ["ignore", "ignore", "inherit"] });
  };
  aether("up", "--no-demo", "--detach", "--port", "3977");
  return {
    dir,
    async close() {
      aether("down");
      await rm(dir, { recursive: true, force: true });
    },
  };
}
