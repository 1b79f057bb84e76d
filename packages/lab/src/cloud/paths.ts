// Where a cloud keeps its things, below one directory.
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { fault } from "@aether/contract";

export interface CloudPaths {
  readonly dir: string;
  readonly logs: string;
  readonly coreConfig: string;
  readonly coreDir: string;
  readonly adminTokenFile: string;
  readonly imdsConfig: string;
  readonly labSocket: string;
  readonly demoConfig: string;
  readonly demoJournal: string;
  readonly cliConfig: string;
  readonly snapshots: string;
  nodeDir(id: string): string;
  agentConfig(id: string): string;
  log(name: string): string;
}

/** Names below DIR that a cloud makes and `down` removes. `logs` stay, for reading after. */
export const removedByDown = ["core", "nodes", "snapshots", "run", "cli.json", "cloud.json"] as const;

/** Throws INVALID_ARGUMENT for a directory whose path is too long for a unix socket below it. */
export function cloudPaths(directory: string): CloudPaths {
  const dir = resolve(directory);
  const labSocket = join(dir, "run/lab.sock");
  if (Buffer.byteLength(labSocket) > 100 || dir === "/") {
    throw fault("INVALID_ARGUMENT", `the directory ${dir} cannot hold a cloud: its path must be 2 to 87 bytes long`, {
      field: "dir",
      hint: "Give a shorter one with --dir.",
    });
  }
  return {
    dir,
    logs: join(dir, "logs"),
    coreConfig: join(dir, "run/core.yaml"),
    coreDir: join(dir, "core"),
    adminTokenFile: join(dir, "core/admin.token"),
    imdsConfig: join(dir, "run/imds.json"),
    labSocket,
    demoConfig: join(dir, "run/demo.json"),
    demoJournal: join(dir, "logs/demo.jsonl"),
    cliConfig: join(dir, "cli.json"),
    snapshots: join(dir, "snapshots"),
    nodeDir: (id) => join(dir, "nodes", id),
    agentConfig: (id) => join(dir, "run", `agent-${id}.yaml`),
    log: (name) => join(dir, "logs", `${name}.log`),
  };
}

/** `$AETHER_DIR`, else `$XDG_STATE_HOME/aether`, else ~/.local/state/aether. */
export function defaultCloudDir(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  if (environment.AETHER_DIR) return resolve(environment.AETHER_DIR);
  return join(environment.XDG_STATE_HOME || join(homedir(), ".local/state"), "aether");
}
