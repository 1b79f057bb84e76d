// One plaintext port for HTTP/1.1 (REST, Connect, gRPC-web, the page) and HTTP/2 (gRPC): the first bytes of a connection tell which.
// HTTP/2 begins with the preface "PRI * HTTP/2.0" (RFC 9113, 3.4); no HTTP/1.1 method begins with "PRI".
import type { Server as Http1Server } from "node:http";
import type { Http2Server } from "node:http2";
import { createServer, type Socket } from "node:net";
import { fault } from "@aether/contract";

export interface OnePort {
  /** Port 0: any free one. Throws UNAVAILABLE when the address cannot be taken. */
  listen(port: number, host: string): Promise<{ readonly address: string; readonly port: number }>;
  /** Stops listening; connections are given a moment to end and are then cut. */
  stop(): Promise<void>;
}

const firstByteMs = 10_000;
const lingerMs = 1_000;
const preface = Buffer.from("PRI * HTTP/2.0");

export function createOnePort(http1: Http1Server, http2: Http2Server): OnePort {
  const open = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(firstByteMs, () => socket.destroy());
    const sniff = () => {
      const first: Buffer | null = socket.read();
      if (first === null) return;
      const length = Math.min(first.length, preface.length);
      const mayBePreface = first.subarray(0, length).equals(preface.subarray(0, length));
      socket.unshift(first);
      // "PRI" in pieces: wait for the next one, as long as the timeout allows.
      if (mayBePreface && first.length < preface.length) return socket.once("readable", sniff);
      socket.setTimeout(0);
      socket.removeAllListeners("timeout");
      (mayBePreface ? http2 : http1).emit("connection", socket);
      return undefined;
    };
    socket.once("readable", sniff);
  });
  return {
    listen: (port, host) =>
      new Promise((resolve, reject) => {
        server.once("error", (cause) => reject(fault("UNAVAILABLE", `cannot listen on ${host}:${port}: ${cause.message}`, { cause })));
        server.listen(port, host, () => {
          // Starts the HTTP/1.1 server's own checking for requests that never end; it listens to nothing itself.
          http1.emit("listening");
          const bound = server.address();
          if (bound === null || typeof bound === "string") return reject(fault("INTERNAL", "a TCP server without an address"));
          resolve({ address: bound.address, port: bound.port });
        });
      }),
    async stop() {
      if (!server.listening) return;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const timer = setTimeout(() => {
        for (const socket of open) socket.destroy();
      }, lingerMs);
      http1.closeIdleConnections();
      await closed;
      clearTimeout(timer);
    },
  };
}
