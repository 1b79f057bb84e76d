// Post-copy: criu's lazy-pages daemon on the target asks a page server on its own loopback; that is this tunnel, which carries the bytes over the mTLS
// link to criu's page server on the source's loopback. criu itself never opens a port to the network.
import { connect, createServer, type Server, type Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import type { TLSSocket } from "node:tls";
import { fault } from "@aether/contract";
import type { Peer } from "../engine.ts";
import type { LinkReader } from "../link/frames.ts";
import type { Link } from "../link/link.ts";

/** Source: joins one connection of the target to the page server. */
export async function servePages(socket: TLSSocket, reader: LinkReader, port: number): Promise<void> {
  const server = connect({ host: "127.0.0.1", port, noDelay: true });
  server.on("error", () => socket.destroy());
  socket.on("close", () => server.destroy());
  await Promise.allSettled([pipeline(reader.rest(), server), pipeline(server, socket)]);
}

export interface PageTunnel {
  readonly port: number;
  /** Resolves when the daemon has closed its connection. */
  readonly isClosed: Promise<void>;
  close(): void;
}

/** Target: a loopback port that leads to the source's page server. */
export function openPageTunnel(link: Link, peer: Peer, migrationId: string, signal: AbortSignal): Promise<PageTunnel> {
  return new Promise((resolve, reject) => {
    let closed!: () => void;
    const isClosed = new Promise<void>((done) => {
      closed = done;
    });
    const join = async (local: Socket) => {
      local.setNoDelay(true);
      local.on("error", () => local.destroy());
      const { socket, reader } = await link.connect(peer, { migrationId, channel: "pages" }, signal);
      local.once("close", () => socket.destroy());
      await Promise.allSettled([pipeline(local, socket), pipeline(reader.rest(), local)]);
    };
    const server: Server = createServer((local) => {
      join(local)
        .catch(() => local.destroy())
        .finally(closed);
    });
    server.once("error", (cause) => reject(fault("UNAVAILABLE", `no loopback port for pages: ${cause.message}`, { cause })));
    server.listen(0, "127.0.0.1", () => {
      const bound = server.address();
      if (bound === null || typeof bound === "string") return reject(fault("INTERNAL", "a TCP server without an address"));
      resolve({ port: bound.port, isClosed, close: () => server.close() });
    });
  });
}
