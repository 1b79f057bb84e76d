// What left the source against what reached the target, fact by fact. Pure: the receipt is made of this, and the commit hangs on it.
import type { FreezeFacts, RestoreFacts } from "@aether/contract/gen/aether/v2/agent_pb";
import type { Manifest } from "@aether/contract/gen/aether/v2/migration_pb";

export interface Difference {
  readonly what: string;
  readonly isEqual: boolean;
  readonly source: string;
  readonly target: string;
}

/** `of` is what must be equal; `say`, where given, is what people read instead when it is. */
interface Facet {
  readonly what: string;
  of(manifest: Manifest): string;
  say?(manifest: Manifest): string;
}

const facets: readonly Facet[] = [
  { what: "images", of: imagesOf, say: ({ images }) => `${images.length}, ${images.reduce((sum, image) => sum + image.bytes, 0n)} bytes` },
  { what: "memory bytes", of: (manifest) => String(manifest.memoryBytes) },
  { what: "memory pages", of: (manifest) => String(manifest.pageCount) },
  { what: "files", of: (manifest) => `${manifest.fileCount}, ${manifest.fileBytes} bytes, digest ${manifest.filesDigest || "missing"}` },
  { what: "processes", of: (manifest) => `${manifest.processCount}, digest ${manifest.processDigest || "missing"}` },
  { what: "tcp connections", of: ({ tcpConnections }) => [...tcpConnections].sort().join("; ") || "none" },
];

/** Every comparison of the receipt. A manifest that is missing on either side is unequal, never skipped. */
export function compareManifests(freeze: FreezeFacts | undefined, restore: RestoreFacts | undefined): Difference[] {
  const left = freeze?.manifest;
  const reached = restore?.manifest;
  if (left === undefined || reached === undefined) {
    const say = (manifest: Manifest | undefined) => (manifest === undefined ? "missing" : "present");
    return [{ what: "manifest", isEqual: false, source: say(left), target: say(reached) }];
  }
  const received = restore?.areImagesEqual === true;
  return [
    { what: "bytes as they arrived", isEqual: received, source: "sha256 as sent", target: received ? "same sha256" : "other sha256" },
    ...compareSections(left, reached),
    ...facets.map(({ what, of, say = of }) => {
      const isEqual = of(left) === of(reached);
      const tell = isEqual ? say : of;
      return { what, isEqual, source: tell(left), target: tell(reached) };
    }),
  ];
}

/** Parts that no other comparison speaks of. */
function compareSections(left: Manifest, reached: Manifest): Difference[] {
  const covered = new Set(["images", "files", "processes"]);
  const names = new Set([...left.sections, ...reached.sections].map(({ name }) => name).filter((name) => !covered.has(name)));
  const rootOf = ({ sections }: Manifest, name: string) => {
    const found = sections.find((section) => section.name === name);
    return found === undefined ? "missing" : `${found.leafCount}, digest ${found.root}`;
  };
  return [...names].sort().map((name) => {
    const [source, target] = [rootOf(left, name), rootOf(reached, name)];
    return { what: name, isEqual: source === target, source, target };
  });
}

/** Sorted by name: the order in which images were written says nothing. */
function imagesOf(manifest: Manifest): string {
  return manifest.images
    .map((image) => `${image.name} ${image.bytes} ${image.sha256}`)
    .sort()
    .join("; ");
}
