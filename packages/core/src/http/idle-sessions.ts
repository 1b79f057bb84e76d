// A connection of HTTP/2 on which nothing is asked costs memory and a descriptor, and who opened it need not have said who it is: it ends by itself.
import type { Http2SecureServer, Http2Server, ServerHttp2Session } from "node:http2";

/** Clients open another one when they need it. */
const idleMs = 60_000;

/** Ends sessions that have had no stream for so long. */
export function endIdleSessions(server: Http2Server | Http2SecureServer, afterMs = idleMs): void {
  server.on("session", (session: ServerHttp2Session) => {
    let streams = 0;
    let timer: NodeJS.Timeout | undefined;
    const wait = () => {
      timer = setTimeout(() => session.close(), afterMs);
      timer.unref();
    };
    wait();
    session.on("stream", (stream) => {
      streams++;
      clearTimeout(timer);
      stream.once("close", () => {
        if (--streams === 0 && !session.closed) wait();
      });
    });
    session.once("close", () => clearTimeout(timer));
  });
}
