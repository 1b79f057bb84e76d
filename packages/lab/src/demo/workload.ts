// The demo's workload: redis where it is installed, else our own counter server, both seen from the machine's own root file system.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export const demoName = "demo";
export const demoPort = 6379;

/** WorkloadSpec of the contract, as JSON. */
export function demoSpec(address: string, path = process.env.PATH ?? ""): Record<string, unknown> {
  const redis = findProgram("redis-server", path);
  return {
    name: demoName,
    rootfs: "host",
    argv:
      redis === undefined
        ? [process.execPath, fileURLToPath(new URL("./counter-server-main.js", import.meta.url)), String(demoPort)]
        : [redis, "--port", String(demoPort), "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--appendonly", "no"],
    // libuv's io_uring cannot be checkpointed.
    env: redis === undefined ? { UV_USE_IO_URING: "0" } : {},
    workingDirectory: "/tmp",
    address,
    health: { tcpPort: demoPort },
  };
}

/** The absolute path of a program in a PATH, or undefined. */
export function findProgram(name: string, path: string): string | undefined {
  return path
    .split(delimiter)
    .filter((dir) => dir.startsWith("/"))
    .map((dir) => join(dir, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false; // not there, or not executable: the next one
      }
    });
}
