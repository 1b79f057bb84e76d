// SPIFFE IDs as the product uses them: spiffe://TRUST-DOMAIN/core and spiffe://TRUST-DOMAIN/node/NODE (SPIFFE-ID, sections 2.1 to 2.4).
import { fault } from "@aether/contract";

export interface SpiffeId {
  readonly trustDomain: string;
  /** Begins with a slash, never empty. */
  readonly path: string;
}

const shape = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[A-Za-z0-9._-]{1,255}){1,16})$/;

/** Throws INVALID_ARGUMENT for everything that is not the ID of a workload (an ID without a path names a trust domain, not a workload). */
export function parseSpiffeId(text: string): SpiffeId {
  const match = shape.exec(text);
  const [, trustDomain, path] = match ?? [];
  if (
    trustDomain === undefined ||
    path === undefined ||
    text.length > 2048 ||
    path.split("/").some((part) => part === "." || part === "..")
  )
    throw fault("INVALID_ARGUMENT", `${JSON.stringify(text.slice(0, 200))} is not a SPIFFE ID`, { field: "spiffeId" });
  return { trustDomain, path };
}

/** The control plane's ID. */
export const coreSpiffeId = (trustDomain: string): string => `spiffe://${trustDomain}/core`;

/** An agent's ID. */
export const nodeSpiffeId = (trustDomain: string, nodeId: string): string => `spiffe://${trustDomain}/node/${nodeId}`;

/** The node that an ID names; undefined when it names something else. */
export function nodeIdOf(spiffeId: string): string | undefined {
  return /^\/node\/([^/]+)$/.exec(parseSpiffeId(spiffeId).path)?.[1];
}
