// One HTTP/2 connection to the control plane, gRPC on it, mutual TLS under it. Made anew for each connection, so that each takes the
// newest certificate; closing it ends every call on it at once.
import { coreSpiffeId, type IdentitySource, parseSpiffeId, secureClientOptions } from "@aether/kit/identity";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

export interface CoreLink {
  readonly transport: Transport;
  close(): void;
}

/** A dead peer is noticed within `pingIntervalMs + pingTimeoutMs`: a node must know soon that nobody hears it. */
const keepAlive = { pingIntervalMs: 4_000, pingTimeoutMs: 4_000, pingIdleConnection: false };

/**
 * Opens nothing yet: the first call does. Who answers must be the control plane of the identity's trust domain; at first contact, with a
 * pinned bundle alone, the control plane of whatever trust domain the pinned authority speaks for.
 */
export function openCoreLink(coreAddress: string, identity: IdentitySource | { readonly trustBundlePem: string }): CoreLink {
  const baseUrl = `https://${coreAddress}`;
  const trust =
    "current" in identity
      ? coreSpiffeId(parseSpiffeId(identity.current().spiffeId).trustDomain)
      : (spiffeId: string) => parseSpiffeId(spiffeId).path === "/core";
  const nodeOptions = secureClientOptions(identity, trust);
  const sessionManager = new Http2SessionManager(baseUrl, keepAlive, nodeOptions);
  const transport = createGrpcTransport({ baseUrl, nodeOptions, sessionManager, acceptCompression: [], readMaxBytes: 8 << 20 });
  return { transport, close: () => sessionManager.abort() };
}
