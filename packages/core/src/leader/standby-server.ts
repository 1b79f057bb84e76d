// What a control plane that stands by, or waits for its database, says on its port: alive, not ready, and why. Everything else is answered with where to go.
import { createServer } from "node:http";
import { fault } from "@aether/contract";
import { withDeadline } from "@aether/kit";
import type { Leader } from "./leadership.ts";

export interface StandbyServer {
  tell(leader: Leader): void;
  /** The database is away: it is not known who leads. */
  tellAway(): void;
  /** Frees the port. */
  stop(): Promise<void>;
}

/** Throws UNAVAILABLE when the port is taken. */
export async function startStandbyServer(port: number, host: string): Promise<StandbyServer> {
  let leader: Leader | undefined;
  let isAway = false;
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
    if (path === "/readyz") {
      return say(503, isAway ? { status: "waiting", database: "failed" } : { status: "standby", leader: leader?.address ?? "" });
    }
    if ((request.headers.accept ?? "").includes("text/html")) {
      response.writeHead(503, {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "content-security-policy": policy,
      });
      response.end(isAway ? awayPage : standbyPage(leader?.address ?? ""));
      return;
    }
    const message = isAway
      ? "this control plane waits for its database, which does not answer"
      : `this control plane stands by${leader === undefined ? "" : `; ${leader.address} leads`}`;
    const hint = isAway ? "Look at the database server; agents and workloads go on meanwhile." : "Ask the control plane that leads.";
    say(503, { error: { code: "UNAVAILABLE", message, hint, traceId: "" } });
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
      isAway = false;
    },
    tellAway() {
      isAway = true;
    },
    async stop() {
      server.closeAllConnections();
      await withDeadline("closing the port of the standby", 5_000, () => new Promise<void>((resolve) => server.close(() => resolve())));
    },
  };
}

const policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const escaped = (text: string): string => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

/** For a person who opened it: asks again by itself, because this may be over in a moment. */
const page = (title: string, text: string): string => `<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="dark light">
<meta http-equiv="refresh" content="3"><title>${title} · Aether Guard</title>
<body style="font: 14px/1.6 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1rem">
<h1 style="font-size: 18px">${title}</h1>
<p>${text}</p></body></html>
`;
const standbyPage = (leader: string): string =>
  page(
    "This control plane stands by",
    `${leader === "" ? "Another one leads." : `<a href="${escaped(leader)}">${escaped(leader)}</a> leads.`} This page asks again every three
seconds: when this control plane takes over, the dashboard is here.`,
  );
const awayPage = page(
  "This control plane waits for its database",
  "The database does not answer. Agents and workloads go on meanwhile. This page asks again every three seconds.",
);
