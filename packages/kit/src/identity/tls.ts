// Mutual TLS 1.3 between processes of one trust domain. A peer is its SPIFFE ID: the chain is verified against the bundle, and the one
// URI in the certificate says who it is; host names mean nothing. Certificates rotate under open connections: a server takes the new one
// for its next handshake, a client for its next connection, and what is open goes on.
import { constants, X509Certificate } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import tls from "node:tls";
import { Fault, fault } from "@aether/contract";
import type { Stoppable } from "../lifecycle.ts";
import { type Logger, silentLogger } from "../log.ts";
import { withDeadline } from "../wait.ts";
import { createWaitingRoom } from "../waiting-room.ts";
import type { IdentityMaterial, IdentitySource } from "./source.ts";
import { parseSpiffeId } from "./spiffe.ts";

/** Who may be at the other end: one ID, or a predicate over IDs of our own trust domain. */
export type PeerTrust = string | ((spiffeId: string) => boolean);

/** required: the handshake fails without a valid one. optional: `peerSpiffeId` says undefined without one, and throws for an invalid one. */
export type ClientCertificate = "required" | "optional";

const base = {
  minVersion: "TLSv1.3",
  // No resumption: a resumed session would carry the identity of an older certificate past its rotation.
  secureOptions: constants.SSL_OP_NO_TICKET,
} as const;

const keyAndTrust = (material: IdentityMaterial) => ({
  cert: material.certificateChainPem,
  key: material.privateKeyPem,
  ca: material.trustBundlePem,
});

/**
 * Options of today's certificate for `node:http2.createSecureServer` or `node:tls.createServer`. Call `followRotation` with the server too.
 */
export function secureServerOptions(identity: IdentitySource, clientCertificate: ClientCertificate = "required") {
  return { ...base, ...keyAndTrust(identity.current()), requestCert: true, rejectUnauthorized: clientCertificate === "required" };
}

/** Gives a TLS or HTTP/2 server each new certificate; open connections go on with the old one. The answer ends it. */
export function followRotation(server: Pick<tls.Server, "setSecureContext">, identity: IdentitySource): () => void {
  return identity.onRotate((material) => server.setSecureContext({ ...base, ...keyAndTrust(material) }));
}

/**
 * Options for `node:http2.connect` or `node:tls.connect`: ask for them at each connection, so that it takes the newest certificate.
 * With a bundle instead of an identity there is no client certificate: for the call that asks for the first one.
 */
export function secureClientOptions(identity: IdentitySource | { readonly trustBundlePem: string }, trust: PeerTrust) {
  const material = "current" in identity ? keyAndTrust(identity.current()) : { ca: identity.trustBundlePem };
  return {
    ...base,
    ...material,
    rejectUnauthorized: true,
    checkServerIdentity: (_host: string, certificate: tls.PeerCertificate): Error | undefined => {
      try {
        requireTrust(spiffeIdOf(new X509Certificate(certificate.raw)), trustDomainFor(identity, trust), trust);
        return undefined;
      } catch (caught) {
        return Fault.from(caught);
      }
    },
  };
}

/**
 * The peer's ID: its chain was verified in the handshake, it has exactly one URI, of this trust domain. Undefined when it showed no
 * certificate. Throws IDENTITY_REJECTED otherwise. Accepts the socket of an HTTP/2 session as well.
 */
export function peerSpiffeId(socket: tls.TLSSocket, trustDomain: string): string | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  if (!socket.authorized) throw fault("IDENTITY_REJECTED", `the peer's certificate is not valid: ${String(socket.authorizationError)}`);
  return requireTrust(spiffeIdOf(certificate), trustDomain, () => true);
}

export interface MutualTlsServerOptions {
  readonly identity: IdentitySource;
  /** Called with each accepted connection and who it is; undefined only where client certificates are optional. */
  readonly onConnection: (socket: tls.TLSSocket, peerSpiffeId: string | undefined) => void;
  /** Whose connections are let in. Default: everybody of our trust domain. */
  readonly trust?: PeerTrust;
  readonly requestClientCertificate?: ClientCertificate;
  readonly alpn?: readonly string[];
  /** Default 10 s. */
  readonly handshakeMs?: number;
  readonly log?: Logger;
  /** Connections that have not shown who they are yet; default 128. Beyond them, whoever has the most loses its oldest. */
  readonly mostWaiting?: number;
  /** Takes connections that do not begin as TLS does, unread; nobody is known of them. Default: they fail the handshake. */
  readonly onPlain?: (socket: Socket) => void;
}

export interface MutualTlsServer extends Stoppable {
  /** Port 0: any free one. Throws UNAVAILABLE when the address cannot be taken. */
  listen(port: number, host: string): Promise<{ readonly address: string; readonly port: number }>;
  /** Stops listening and ends open connections. */
  stop(): Promise<void>;
}

/** A server whose every connection has a known peer. Refused peers are logged as `identity.refused` and closed. */
export function createMutualTlsServer(options: MutualTlsServerOptions): MutualTlsServer {
  const { identity, log = silentLogger } = options;
  const server = tls.createServer({
    ...secureServerOptions(identity, options.requestClientCertificate),
    handshakeTimeout: options.handshakeMs ?? 10_000,
    allowHalfOpen: true,
    noDelay: true,
    ...(options.alpn === undefined ? {} : { ALPNProtocols: [...options.alpn] }),
  });
  const unfollow = followRotation(server, identity);
  const open = new Set<Socket>();
  const room = createWaitingRoom(options.mostWaiting ?? 128, log);
  /** By the port of the caller, which a TLS socket has from the socket below it. */
  const waiting = new Map<string, () => void>();
  const letIn = (socket: Socket) => waiting.get(endOf(socket))?.();
  const { onPlain } = options;
  const takePlain = (socket: Socket) => {
    letIn(socket);
    onPlain?.(socket);
  };
  const front: Server = onPlain === undefined ? server : sortByFirstByte(server, takePlain, options.handshakeMs ?? 10_000);
  front.on("connection", (socket: Socket) => {
    const end = endOf(socket);
    const leave = room.enter(socket.remoteAddress ?? "", socket);
    open.add(socket);
    waiting.set(end, leave);
    socket.once("close", () => {
      leave();
      open.delete(socket);
      if (waiting.get(end) === leave) waiting.delete(end);
    });
  });
  server.on("tlsClientError", (error, socket) => {
    log.warn({ peer: socket.remoteAddress, reason: handshakeProblem(error) }, "identity.refused");
    socket.destroy();
  });
  server.on("secureConnection", (socket) => {
    try {
      const trustDomain = parseSpiffeId(identity.current().spiffeId).trustDomain;
      const peer = peerSpiffeId(socket, trustDomain);
      if (peer !== undefined) requireTrust(peer, trustDomain, options.trust ?? (() => true));
      letIn(socket);
      options.onConnection(socket, peer);
    } catch (caught) {
      log.warn({ peer: socket.remoteAddress, reason: Fault.from(caught).message }, "identity.refused");
      socket.destroy();
    }
  });
  return {
    listen: (port, host) =>
      new Promise((resolve, reject) => {
        front.once("error", (cause) => reject(fault("UNAVAILABLE", `cannot listen on ${host}:${port}: ${cause.message}`, { cause })));
        front.listen(port, host, () => {
          const bound = front.address();
          if (bound === null || typeof bound === "string") return reject(fault("INTERNAL", "a TCP server without an address"));
          resolve({ address: bound.address, port: bound.port });
        });
      }),
    async stop() {
      unfollow();
      if (!front.listening) return;
      const closed = new Promise<void>((resolve) => front.close(() => resolve()));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

const endOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

/** The content type of a handshake record (RFC 8446, section 5.1), with which each TLS connection begins. */
const handshakeRecord = 22;

/** Listens in front of a TLS server: gives it what begins as TLS does, and `onPlain` the rest. */
function sortByFirstByte(server: tls.Server, onPlain: (socket: Socket) => void, deadlineMs: number): Server {
  return createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const drop = () => socket.destroy();
    const timer = setTimeout(drop, deadlineMs);
    const look = () => {
      const first: Buffer | null = socket.read();
      if (first === null) return void (socket.readableEnded && drop());
      clearTimeout(timer);
      socket.off("readable", look);
      socket.off("error", drop);
      socket.unshift(first);
      if (first[0] === handshakeRecord) server.emit("connection", socket);
      else onPlain(socket);
    };
    socket.on("error", drop);
    socket.on("readable", look);
    socket.once("close", () => clearTimeout(timer));
  });
}

export interface ConnectOptions {
  readonly identity: IdentitySource;
  readonly host: string;
  readonly port: number;
  /** Who must answer. */
  readonly trust: PeerTrust;
  /** For the TCP connection and the handshake together. */
  readonly deadlineMs: number;
  readonly alpn?: readonly string[];
}

/**
 * Connects with the newest certificate. Throws IDENTITY_REJECTED (the server is not who it should be), UNAVAILABLE (not reachable),
 * DEADLINE_EXCEEDED. In TLS 1.3 the client is done before the server has looked at the client's certificate: a server that refuses it
 * shows as an error or end on the first read, so a protocol on top must begin with an answer of the server.
 */
export function connectMutualTls(options: ConnectOptions, outer?: AbortSignal): Promise<tls.TLSSocket> {
  const { identity, host, port, trust, deadlineMs } = options;
  return withDeadline(
    `connecting to ${host}:${port}`,
    deadlineMs,
    (signal) =>
      new Promise((resolve, reject) => {
        const connection: tls.ConnectionOptions & { allowHalfOpen: boolean } = {
          host,
          port,
          ...secureClientOptions(identity, trust),
          allowHalfOpen: true,
          ...(options.alpn === undefined ? {} : { ALPNProtocols: [...options.alpn] }),
        };
        const socket = tls.connect(connection);
        const abort = () => socket.destroy();
        const settle = () => {
          signal.removeEventListener("abort", abort);
          socket.off("error", refuse);
          socket.off("close", closed);
        };
        const refuse = (cause: Error) => {
          settle();
          socket.on("error", () => socket.destroy());
          reject(connectFault(host, port, cause, socket));
        };
        const closed = () => refuse(new Error("the connection was closed during the handshake"));
        signal.addEventListener("abort", abort, { once: true });
        socket.once("error", refuse);
        socket.once("close", closed);
        socket.once("secureConnect", () => {
          settle();
          socket.setNoDelay(true);
          resolve(socket);
        });
      }),
    outer,
  );
}

/** Why a handshake failed, in a person's words: OpenSSL's messages also name addresses in memory and lines of its source. */
export const handshakeProblem = (cause: Error): string =>
  "library" in cause && "reason" in cause && typeof cause.reason === "string" ? `TLS: ${cause.reason}` : cause.message;

function connectFault(host: string, port: number, cause: Error, socket: tls.TLSSocket): Fault {
  if (cause instanceof Fault) return cause;
  const isVerification = Boolean(socket.authorizationError);
  return isVerification
    ? fault("IDENTITY_REJECTED", `${host}:${port}: the certificate is not valid: ${cause.message}`, { cause })
    : fault("UNAVAILABLE", `cannot reach ${host}:${port}: ${handshakeProblem(cause)}`, { cause });
}

/** SPIFFE X509-SVID, section 2: exactly one URI; and no authority's certificate may stand for a workload (section 4.2). */
function spiffeIdOf(certificate: X509Certificate): string {
  const names = (certificate.subjectAltName ?? "").split(", ").filter((name) => name.startsWith("URI:"));
  const [name] = names;
  if (names.length !== 1 || name === undefined || certificate.ca)
    throw fault("IDENTITY_REJECTED", "the certificate is not that of a workload: it must have exactly one SPIFFE ID");
  return name.slice("URI:".length);
}

function trustDomainFor(identity: IdentitySource | { readonly trustBundlePem: string }, trust: PeerTrust): string | undefined {
  if ("current" in identity) return parseSpiffeId(identity.current().spiffeId).trustDomain;
  return typeof trust === "string" ? parseSpiffeId(trust).trustDomain : undefined;
}

/** Returns the ID; throws IDENTITY_REJECTED. Without a trust domain (first contact with a predicate) the predicate alone decides. */
function requireTrust(spiffeId: string, trustDomain: string | undefined, trust: PeerTrust): string {
  const id = parsePeer(spiffeId);
  if (trustDomain !== undefined && id.trustDomain !== trustDomain)
    throw fault("IDENTITY_REJECTED", `the peer is ${spiffeId}, of another trust domain than ${trustDomain}`);
  if (typeof trust === "string" ? spiffeId !== trust : !trust(spiffeId))
    throw fault(
      "IDENTITY_REJECTED",
      `the peer is ${spiffeId}${typeof trust === "string" ? `, not ${trust}` : ", which is not allowed here"}`,
    );
  return spiffeId;
}

function parsePeer(spiffeId: string) {
  try {
    return parseSpiffeId(spiffeId);
  } catch (cause) {
    throw fault("IDENTITY_REJECTED", "the peer's certificate has no valid SPIFFE ID", { cause });
  }
}
