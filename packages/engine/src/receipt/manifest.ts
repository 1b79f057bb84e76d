// What left, and what arrived: image digests made while they flow, processes, threads and connections as the two kernels show them.
import { createHash } from "node:crypto";
import type { Manifest, ManifestEntry } from "../engine.ts";
import type { TreeDigest } from "../files/tree-digest.ts";
import type { Host } from "../host.ts";
import type { SpaceDigest } from "../memory/tracker.ts";
import { tcpTable } from "../network/tcp-table.ts";
import { pidsOf } from "../runtime/cgroup.ts";
import { processTree, residentBytes } from "../runtime/process.ts";

const pageBytes = 4096;

/** What the kernel shows of a frozen or stopped workload. */
export interface Observed {
  readonly processCount: number;
  readonly processDigest: string;
  readonly tcpConnections: readonly string[];
  readonly residentBytes: number;
}

export async function observe(host: Host, workload: string): Promise<Observed> {
  const pids = await pidsOf(host, workload);
  const tree = await processTree(host, workload);
  const first = pids[0];
  return {
    processCount: tree.length,
    processDigest: createHash("sha256").update(tree.join("\n")).digest("hex"),
    tcpConnections: first === undefined ? [] : (await tcpTable(first)).established,
    residentBytes: await residentBytes(pids),
  };
}

/** `images` are those that travelled; `spaces` the memory that was copied ahead, process by process. */
export function manifestOf(
  images: readonly ManifestEntry[],
  files: TreeDigest,
  observed: Observed,
  spaces: readonly SpaceDigest[] = [],
): Manifest {
  const { residentBytes, ...shown } = observed;
  const pages = images.filter((image) => image.name.startsWith("pages-")).reduce((sum, image) => sum + image.bytes, 0);
  const ahead = spaces.map(({ space, pages: count, digest }) => ({
    name: `memory-${space}`,
    bytes: count * pageBytes,
    sha256: `nh128:${digest}`,
  }));
  const aheadBytes = ahead.reduce((sum, one) => sum + one.bytes, 0);
  return {
    images: [...images, ...ahead].sort((a, b) => (a.name < b.name ? -1 : 1)),
    memoryBytes: pages + aheadBytes > 0 ? pages + aheadBytes : residentBytes,
    pageCount: Math.round((pages + aheadBytes) / pageBytes),
    filesDigest: files.digest,
    fileCount: files.count,
    fileBytes: files.bytes,
    ...shown,
  };
}
