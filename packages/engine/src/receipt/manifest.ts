// What left, and what arrived: image digests made while they flow, processes, threads and connections as the two kernels show them.
import { createHash } from "node:crypto";
import type { Manifest, ManifestEntry } from "../engine.ts";
import type { Host } from "../host.ts";
import { tcpTable } from "../network/tcp-table.ts";
import { pidsOf } from "../runtime/cgroup.ts";
import { processTree, residentBytes } from "../runtime/process.ts";

const pageBytes = 4096;

export interface TreeDigest {
  readonly digest: string;
  readonly count: number;
  readonly bytes: number;
}

/** Of a frozen or stopped workload. `images` are those that travelled. */
export async function makeManifest(host: Host, workload: string, images: readonly ManifestEntry[], files: TreeDigest): Promise<Manifest> {
  const pids = await pidsOf(host, workload);
  const tree = await processTree(host, workload);
  const pages = images.filter((image) => image.name.startsWith("pages-")).reduce((sum, image) => sum + image.bytes, 0);
  const first = pids[0];
  return {
    images: [...images].sort((a, b) => (a.name < b.name ? -1 : 1)),
    memoryBytes: pages > 0 ? pages : await residentBytes(pids),
    pageCount: Math.round(pages / pageBytes),
    filesDigest: files.digest,
    fileCount: files.count,
    fileBytes: files.bytes,
    processCount: tree.length,
    tcpConnections: first === undefined ? [] : (await tcpTable(first)).established,
    processDigest: createHash("sha256").update(tree.join("\n")).digest("hex"),
  };
}
