// What a control plane that stands by says on its port: alive, not ready, and who leads. Everything else is answered with where to go.
import { createServer } from "node:http";
import { fault } from "@aether/contract";
import { withDeadline } from "@aether/kit";
import type { Leader } from "./leadership.ts";

export interface StandbyServer {
  tell(leader: Leader): void;
  /** Frees the port. */
  stop(): Promise<void>;
}

/** Throws UNAVAILABLE when the port is taken. */
export async function startStandbyServer(port: number, host: string): Promise<StandbyServer> {
  let leader: Leader | undefined;
  const server = createServer((request, response) => {
    const path = request.url?.split("?")[0];
    const say = (status: number, body: unknown) => {
      response.writeHead(status, {
        "content-type": "application/json",
        "cache-control": "no-store",
        ...(status === 503 ? { "retry-after": "1" } : {}),
      });
      response.end(JSON.stringify(body));
    };
    request.resume();
    if (path === "/healthz") return say(200, { status: "ok" });
    if (path === "/readyz") return say(503, { status: "standby", leader: leader?.address ?? "" });
    const message = `this control plane stands by${leader === undefined ? "" : `; ${leader.address} leads`}`;
    say(503, { error: { code: "UNAVAILABLE", message, hint: "Ask the control plane that leads.", traceId: "" } });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(fault("UNAVAILABLE", `cannot listen on ${host}:${port}: ${cause.message}`, { cause, field: "http.port" })),
    );
    server.listen(port, host, resolve);
  });
  return {
    tell(now) {
      leader = now;
    },
    async stop() {
      server.closeAllConnections();
      await withDeadline("closing the port of the standby", 5_000, () => new Promise<void>((resolve) => server.close(() => resolve())));
    },
  };
}
