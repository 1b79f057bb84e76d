// The agents' port: gRPC over TLS 1.3. A certificate is asked for, not demanded, because a node that joins has none yet; what needs one is
// decided by the gate. Streams stay open when core's own certificate is renewed.

import { X509Certificate } from "node:crypto";
import http2 from "node:http2";
import type { TLSSocket } from "node:tls";
import { fault } from "@aether/contract";
import type { Logger } from "@aether/kit";
import { followRotation, handshakeProblem, type IdentitySource, peerSpiffeId, secureServerOptions } from "@aether/kit/identity";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { endIdleSessions } from "./idle-sessions.ts";
import { mendMalformed } from "./malformed.ts";
import type { OnePort } from "./one-port.ts";
import { originOf, valuesWith } from "./origin.ts";
import type { RpcOptions } from "./rpc-options.ts";

export interface AgentsServerOptions extends Omit<RpcOptions, "shutdownSignal"> {
  readonly identity: IdentitySource;
  readonly trustDomain: string;
  readonly log: Logger;
}

/** Results of commands carry output: more than a request of a person may. */
const messageLimitBytes = 8 << 20;
const pingEveryMs = 10_000;
/**
 * A node that was cut off for longer than its certificate lives may still renew it: the key is the same, the authority signed it, and the
 * node is still on record. Nothing else is served to it before.
 */
const renewalGraceMs = 7 * 86_400_000;

export function createAgentsServer(options: AgentsServerOptions): OnePort {
  const { identity, trustDomain, log, routes, requestGate, interceptors } = options;
  const server = http2.createSecureServer(
    {
      ...secureServerOptions(identity, "optional"),
      settings: { maxConcurrentStreams: 100 },
      handshakeTimeout: 10_000,
    },
    connectNodeAdapter({
      routes: mendMalformed(routes),
      requestGate,
      interceptors,
      // Without the signal of the end: each request would listen to it, and adding a listener walks through all that are there: with ten thousand
      // sessions that is most of a connection's cost. Whoever stops the control plane ends the sessions, and `stop` what is left.
      readMaxBytes: messageLimitBytes,
      contextValues: (request) =>
        valuesWith(
          originOf(request, ({ isRenewal }) => {
            const socket = "stream" in request ? (request.stream.session?.socket as TLSSocket | undefined) : undefined;
            if (socket === undefined) return undefined;
            return isRenewal ? renewingPeer(socket, identity, trustDomain) : peerSpiffeId(socket, trustDomain);
          }),
        ),
    }),
  );
  endIdleSessions(server);
  const unfollow = followRotation(server, identity);
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    let heardBytes = -1;
    const timer = setInterval(() => {
      // One that says something is there: of a fleet that is at rest hardly a connection has to be asked.
      const { bytesRead = -1 } = session.socket ?? {};
      if (bytesRead === heardBytes || bytesRead < 0) ping(session);
      heardBytes = bytesRead;
    }, pingEveryMs);
    session.once("close", () => clearInterval(timer));
  });
  server.on("sessionError", (error) => log.debug({ err: error }, "an agent's HTTP/2 session failed"));
  server.on("tlsClientError", (error, socket) => {
    log.warn({ peer: socket.remoteAddress, reason: handshakeProblem(error) }, "identity.refused");
    socket.destroy();
  });

  return {
    listen: (port, host) =>
      new Promise((resolve, reject) => {
        server.once("error", (cause) => reject(fault("UNAVAILABLE", `cannot listen on ${host}:${port}: ${cause.message}`, { cause })));
        server.listen(port, host, () => {
          const bound = server.address();
          if (bound === null || typeof bound === "string") return reject(fault("INTERNAL", "a TCP server without an address"));
          resolve({ address: bound.address, port: bound.port });
        });
      }),
    async stop() {
      unfollow();
      if (!server.listening) return;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.destroy();
      await closed;
    },
  };
}

/** A connection whose other end is gone without a word answers no ping. */
function ping(session: http2.ServerHttp2Session): void {
  if (session.closed || session.destroyed) return;
  let isAnswered = false;
  // After one more look at what has arrived: in a process that stood still for so long, the answers wait behind its timers.
  const timer = setTimeout(() => setImmediate(() => isAnswered || session.destroy()), pingEveryMs);
  session.ping(() => {
    isAnswered = true;
    clearTimeout(timer);
  });
}

/** The ID of a peer whose certificate is valid but for its age. Throws IDENTITY_REJECTED. */
function renewingPeer(socket: TLSSocket, identity: IdentitySource, trustDomain: string): string | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined || socket.authorized) return peerSpiffeId(socket, trustDomain);
  const authority = new X509Certificate(identity.current().trustBundlePem);
  const name = certificate.subjectAltName?.split(", ") ?? [];
  const id = name.length === 1 ? /^URI:(spiffe:\/\/.+)$/.exec(name[0] ?? "")?.[1] : undefined;
  const isOurs = !certificate.ca && certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
  const ageMs = Date.now() - certificate.validToDate.getTime();
  if (!isOurs || id === undefined || !id.startsWith(`spiffe://${trustDomain}/node/`) || ageMs < 0 || ageMs > renewalGraceMs) {
    throw fault("IDENTITY_REJECTED", `the certificate is not valid: ${String(socket.authorizationError)}`);
  }
  return id;
}
