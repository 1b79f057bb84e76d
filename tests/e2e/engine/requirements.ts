// What an engine test needs of the machine; undefined when all is there, else the reason for the skip.
import { accessSync, constants } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../../..");

export function missingForEngine(): string | undefined {
  if (process.platform !== "linux") return "live migration needs Linux";
  if (process.getuid?.() !== 0) return "needs root: namespaces, cgroups and criu";
  for (const [path, what] of [
    ["/opt/aether/criu/bin/criu", "CRIU (npm run prepare:machine)"],
    ["/usr/sbin/runc", "runc"],
    ["/usr/bin/rsync", "rsync"],
    ["/usr/bin/redis-server", "redis-server"],
    [join(root, "native/build/aether-native"), "the native helper (make -C native)"],
    [join(root, "packages/engine/dist/index.js"), "the build (npm run build)"],
  ] as const) {
    try {
      accessSync(path, constants.X_OK | constants.R_OK);
    } catch {
      try {
        accessSync(path, constants.R_OK);
      } catch {
        return `needs ${what}`;
      }
    }
  }
  return undefined;
}
