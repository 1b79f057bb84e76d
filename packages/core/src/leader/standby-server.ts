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
    if ((request.headers.accept ?? "").includes("text/html")) {
      response.writeHead(503, {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "content-security-policy": policy,
      });
      response.end(standbyPage(leader?.address ?? ""));
      return;
    }
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

const policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const escaped = (text: string): string => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

/** For a person who opened the standby: asks again by itself, because this one may lead in a moment. */
const standbyPage = (leader: string): string => `<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="dark light">
<meta http-equiv="refresh" content="3"><title>Standing by · Aether Guard</title>
<body style="font: 14px/1.6 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1rem">
<h1 style="font-size: 18px">This control plane stands by</h1>
<p>${leader === "" ? "Another one leads." : `<a href="${escaped(leader)}">${escaped(leader)}</a> leads.`} This page asks again every three
seconds: when this control plane takes over, the dashboard is here.</p></body></html>
`;
