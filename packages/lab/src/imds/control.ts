// How interruptions are announced: HTTP on a unix socket that only its owner may open. Not part of AWS; the control plane's drills and the tests use it.
//   POST /interruptions {"nodeId","kind":"notice"|"rebalance","afterSeconds"}    announce (or move)
//   GET /interruptions                                                          what is announced, and what happens at the reclaim time
//   DELETE /interruptions/NODE                                                  withdraw all of a node
import { chmod, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Fault, fault } from "@aether/contract";
import type { Logger, Stoppable } from "@aether/kit";
import { type Announcement, type Announcements, announcementRequest } from "./interruptions.ts";

/** keep: nothing happens at the reclaim time, the node lives on. kill: the supervisor then ends the agent and every workload of the node. */
export type Reclaim = "keep" | "kill";

export interface ControlOptions {
  readonly socket: string;
  readonly announcements: Announcements;
  readonly reclaim: Reclaim;
  readonly log: Logger;
}

/** Listens at the socket, mode 0600. A socket file left by a killed process is replaced. */
export async function openControl(options: ControlOptions): Promise<Stoppable> {
  await rm(options.socket, { force: true });
  const server = createServer({ requestTimeout: 5_000 }, (request, response) => {
    serve(options, request)
      .then(({ status, body }) => send(response, status, body))
      .catch((caught: unknown) => {
        const problem = Fault.from(caught);
        if (problem.code === "INTERNAL") options.log.error({ err: caught }, "request failed");
        send(response, statusOf(problem), {
          error: { code: problem.code, message: problem.message, hint: problem.hint, ...(problem.field && { field: problem.field }) },
        });
      });
  });
  const previousMask = process.umask(0o177); // the socket is never open to others, not even before the chmod
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.socket, resolve);
    });
  } finally {
    process.umask(previousMask);
  }
  await chmod(options.socket, 0o600);
  return {
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function serve(
  { announcements, reclaim, log }: ControlOptions,
  request: IncomingMessage,
): Promise<{ status: number; body?: unknown }> {
  const path = request.url ?? "/";
  if (path === "/interruptions" && request.method === "GET") {
    return { status: 200, body: { interruptions: announcements.list().map(wire), reclaim } };
  }
  if (path === "/interruptions" && request.method === "POST") {
    const announcement = announcements.announce(parse(await readBody(request)));
    log.info({ nodeId: announcement.nodeId, kind: announcement.kind, effectiveAt: new Date(announcement.effectiveAtMs) }, "announced");
    return { status: 200, body: wire(announcement) };
  }
  const nodeId = /^\/interruptions\/([^/]+)$/.exec(path)?.[1];
  if (nodeId !== undefined && request.method === "DELETE") {
    const withdrawn = announcements.withdraw(decodeURIComponent(nodeId));
    log.info({ nodeId, withdrawn }, "withdrawn");
    return { status: 200, body: { nodeId, withdrawn } };
  }
  throw fault("ROUTE_NOT_FOUND", `no route ${request.method} ${path}`);
}

const wire = (announcement: Announcement) => ({
  nodeId: announcement.nodeId,
  kind: announcement.kind,
  announcedAt: new Date(announcement.announcedAtMs).toISOString(),
  effectiveAt: new Date(announcement.effectiveAtMs).toISOString(),
});

function parse(text: string) {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw fault("INVALID_ARGUMENT", "the body is not JSON", { cause });
  }
  const parsed = announcementRequest.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join(".") || (issue?.code === "unrecognized_keys" ? issue.keys.join(", ") : "");
  throw fault("INVALID_ARGUMENT", `${field || "body"}: ${issue?.message ?? "not valid"}`, { field });
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > 16_384) throw fault("REQUEST_TOO_LARGE", "the body is larger than 16 KiB");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function statusOf(problem: Fault): number {
  if (problem.code === "INVALID_ARGUMENT") return 400;
  if (problem.code === "NODE_NOT_FOUND" || problem.code === "ROUTE_NOT_FOUND") return 404;
  return problem.code === "REQUEST_TOO_LARGE" ? 413 : 500;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body ?? {});
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}
