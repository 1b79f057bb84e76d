// Links of nodes of one trust domain, for tests: real TLS on loopback, and no host behind it.
import { silentLogger } from "@aether/kit";
import { type IdentityMaterial, nodeSpiffeId, openAuthority } from "@aether/kit/identity";
import type { Host } from "../host.ts";
import { type Link, openLink } from "../link/link.ts";

export interface TestLinks {
  material(nodeId: string, forMs?: number): Promise<IdentityMaterial>;
  open(nodeId: string): Promise<Link>;
}

/** @param dir of the authority's own */
export async function createTestLinks(dir: string): Promise<TestLinks> {
  const authority = await openAuthority(dir, { trustDomain: "test.local" });
  const links: TestLinks = {
    material: (nodeId, forMs = 3_600_000) => authority.issueMaterial(nodeSpiffeId("test.local", nodeId), forMs),
    async open(nodeId) {
      const material = await links.material(nodeId);
      const identity = { current: () => material, onRotate: () => () => undefined };
      return openLink({ options: { identity, log: silentLogger, linkAddress: "127.0.0.1", linkPort: 0 } } as unknown as Host);
    },
  };
  return links;
}
