// Files travel by rsync over the link: the target runs rsync's daemon protocol on the connection, in the named tree as its root, so that the peer can write
// there and nowhere else; the source runs rsync with our pipe as its remote shell.
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import type { TLSSocket } from "node:tls";
import { fault } from "@aether/contract";
import { killGroup, run, writeFileAtomic } from "@aether/kit";
import type { Peer, WorkloadSpec } from "../engine.ts";
import { type Host, migrationDir } from "../host.ts";
import type { LinkReader } from "../link/frames.ts";
import type { Link, LinkHeader } from "../link/link.ts";
import { rootfsPaths } from "../runtime/rootfs.ts";

export interface Tree {
  /** Name on the wire. */
  readonly name: string;
  readonly path: string;
}

/** The trees that travel, in the same order on both sides: the writable layer, then each `sync` volume. */
export function travellingTrees(host: Host, spec: WorkloadSpec): Tree[] {
  const volumes = spec.volumes.flatMap((volume, index) =>
    volume.mode === "sync" ? [{ name: `volume${index}`, path: volume.source }] : [],
  );
  return [{ name: "layer", path: rootfsPaths(host, spec.name).upper }, ...volumes];
}

const systemDirs = ["/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr"];

/**
 * On a target a `sync` volume becomes what the source has, and everything else in it is deleted: that must not be the host itself, nor what the agent
 * keeps there. Throws VOLUME_INVALID.
 */
export function requireReplaceable(host: Pick<Host, "options" | "memoryDir">, volumes: WorkloadSpec["volumes"]): void {
  const { stateDir, snapshotDir } = host.options;
  const isIn = (path: string, dir: string) => path === dir || path.startsWith(dir === "/" ? dir : `${dir}/`);
  for (const [index, { source, mode }] of volumes.entries()) {
    if (mode !== "sync") continue;
    const path = resolve(source);
    const ours = [stateDir, snapshotDir, host.memoryDir].find((dir) => isIn(dir, path) || isIn(path, dir));
    const system = systemDirs.find((dir) => isIn(dir, path));
    if (ours === undefined && system === undefined) continue;
    throw fault(
      "VOLUME_INVALID",
      `${source} cannot be a sync volume: it would be replaced on a target, with ${ours ?? system} of that host`,
      {
        field: `spec.volumes[${index}].source`,
      },
    );
  }
}

const deadlineMs = 600_000;

/**
 * A program that reads a tree in which a workload may write meanwhile: it follows no symbolic link there. Otherwise a directory that becomes a link
 * between two looks would lead it, as root, to any file of the host, and its content to the workload.
 */
export const readingRunning = (host: Pick<Host, "options">, path: string, program: string, args: readonly string[]): [string, string[]] => [
  host.options.tools.native,
  ["launch", "--no-links-in", path, "--", program, ...args],
];

/**
 * Source: brings the target's copy of the tree to what it is here now.
 * @param isStopped nobody writes in the tree meanwhile
 */
export async function sendTree(
  host: Host,
  link: Link,
  peer: Peer,
  migrationId: string,
  tree: Tree,
  isStopped: boolean,
  signal: AbortSignal,
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "aether-files-"));
  const socketPath = join(dir, "link");
  const head: LinkHeader = { migrationId, channel: "files", tree: tree.name };
  const server = createServer({ allowHalfOpen: true }, (local) => {
    link.connect(peer, head, signal).then(
      ({ socket, reader }) => {
        local.on("error", () => socket.destroy());
        socket.on("close", () => local.destroy());
        local.pipe(socket);
        // Closed both ways at the end: rsync waits for its shell, and its shell for us. rsync's own exit code says what broke.
        pipeline(reader.rest(), local, { end: false }).then(
          () => local.destroySoon(),
          () => socket.destroy(),
        );
      },
      (cause: unknown) => {
        problem = cause;
        local.destroy();
      },
    );
  });
  let problem: unknown;
  try {
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    const shell = `${host.options.tools.native} pipe --socket ${socketPath} --`;
    // By default rsync takes two times in one second for equal: what was written in place right after the first pass would be missed in the freeze.
    const exactly = "--modify-window=-1";
    const args: string[] = ["-aHAXS", exactly, "--numeric-ids", "--delete", `--rsh=${shell}`, `${tree.path}/`, `peer::${tree.name}/`];
    // 24: files vanished while they were read, which a running workload does; the pass inside the freeze must not see it.
    const { rsync } = host.options.tools;
    const [program, all] = isStopped ? [rsync, args] : readingRunning(host, tree.path, rsync, args);
    await run(program, all, { deadlineMs, signal, okCodes: [0, 24] });
  } catch (cause) {
    throw fault(
      "TRANSFER_FAILED",
      `copying files (${tree.name}) failed: ${problem instanceof Error ? problem.message : cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  } finally {
    server.close();
    await rm(dir, { recursive: true, force: true });
  }
}

/** Target: serves one connection of the source for one of the trees. Returns when it has ended. */
export async function receiveTree(
  host: Host,
  migrationId: string,
  trees: readonly Tree[],
  head: LinkHeader,
  socket: TLSSocket,
  reader: LinkReader,
): Promise<void> {
  const tree = trees.find((one) => one.name === head.tree);
  if (tree === undefined) throw fault("TRANSFER_FAILED", `there is no tree ${String(head.tree)} in ${migrationId}`);
  await mkdir(tree.path, { recursive: true });
  const config = join(migrationDir(host, migrationId), `rsync-${tree.name}.conf`);
  const lines = [
    "use chroot = yes",
    "uid = 0",
    "gid = 0",
    "munge symlinks = no",
    "reverse lookup = no",
    `[${tree.name}]`,
    `path = ${tree.path}`,
    "read only = no",
    "list = no",
  ];
  await writeFileAtomic(config, `${lines.join("\n")}\n`);
  const child = spawn(host.options.tools.rsync, ["--server", "--daemon", `--config=${config}`, "."], {
    stdio: ["pipe", "pipe", "ignore"],
    detached: true,
  });
  const timer = setTimeout(() => killGroup(child), deadlineMs);
  child.stdin.on("error", () => child.stdin.destroy());
  pipeline(reader.rest(), child.stdin).catch(() => socket.destroy());
  child.stdout.pipe(socket);
  socket.once("close", () => killGroup(child));
  await new Promise<void>((resolve) => child.once("close", () => resolve()));
  clearTimeout(timer);
}
