// What is compared of a move, part by part, each part a Merkle tree of small texts: equal roots are equal parts, and a leaf can be shown for itself.
import type { EvidenceSection, Manifest, ManifestEntry } from "../engine.ts";
import type { TreeDigest } from "../files/tree-digest.ts";
import type { SpaceDigest } from "../memory/tracker.ts";
import { type MerkleTree, merkleTree } from "./merkle.ts";
import type { Observed } from "./observe.ts";

/** Leaves by section, sorted. */
export type EvidenceLeaves = Readonly<Record<string, readonly string[]>>;

export interface Evidence {
  readonly manifest: Manifest;
  readonly leaves: EvidenceLeaves;
}

const pageBytes = 4096;

const imageLeaf = ({ name, bytes, sha256 }: ManifestEntry): string => `${name} ${bytes} ${sha256}`;
/** NH, keyed for each move: two different memories have the same sum with a chance of 2^-64 or less, whoever does not know the key (memory/page_hash.h). */
const spaceLeaf = ({ space, pages, digest }: SpaceDigest): string => `${space} ${pages} nh128:${digest}`;

/**
 * @param images those that travelled, with the digests that were made on the way
 * @param memory what was copied ahead, process by process; undefined where nothing was
 * @param sequences where each TCP connection stands; undefined where the other node does not say it either
 */
export function makeEvidence(
  images: readonly ManifestEntry[],
  files: TreeDigest,
  observed: Observed,
  memory?: readonly SpaceDigest[],
  sequences?: readonly string[],
): Evidence {
  const trees: Record<string, MerkleTree> = {
    images: merkleTree(images.map(imageLeaf)),
    files: { root: files.digest, leaves: files.leaves },
    processes: merkleTree(observed.processes),
    descriptors: merkleTree(observed.descriptors),
    sockets: merkleTree(observed.sockets),
    ...(memory === undefined ? {} : { memory: merkleTree(memory.map(spaceLeaf)) }),
    ...(sequences === undefined ? {} : { sequences: merkleTree(sequences) }),
  };
  const sections: EvidenceSection[] = Object.entries(trees)
    .map(([name, tree]) => ({ name, leafCount: tree.leaves.length, root: tree.root }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const pages = images.filter((image) => image.name.startsWith("pages-")).reduce((sum, image) => sum + image.bytes, 0);
  // In the list of images too, under names of their own, so that one list names all that memory came from.
  const ahead = (memory ?? []).map(({ space, pages: count, digest }) => ({
    name: space < 2 ** 31 ? `memory-${space}` : `memory-shared-${space - 2 ** 31}`,
    bytes: count * pageBytes,
    sha256: `nh128:${digest}`,
  }));
  const aheadBytes = ahead.reduce((sum, one) => sum + one.bytes, 0);
  return {
    manifest: {
      images: [...images, ...ahead].sort((a, b) => (a.name < b.name ? -1 : 1)),
      memoryBytes: pages + aheadBytes > 0 ? pages + aheadBytes : observed.residentBytes,
      pageCount: Math.round((pages + aheadBytes) / pageBytes),
      filesDigest: files.digest,
      fileCount: files.count,
      fileBytes: files.bytes,
      processCount: observed.processes.length,
      tcpConnections: observed.connections,
      processDigest: trees.processes?.root ?? "",
      sections,
      root: merkleTree(sections.map(({ name, leafCount, root }) => `${name} ${leafCount} ${root}`)).root,
    },
    leaves: Object.fromEntries(Object.entries(trees).map(([name, tree]) => [name, tree.leaves])),
  };
}
