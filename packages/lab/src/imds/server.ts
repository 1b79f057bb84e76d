// The instance metadata service as a node sees it at http://169.254.169.254: version 2 only, one service for all nodes, told apart by source address.
// Status codes and headers are those of the EC2 user guide ("How Instance Metadata Service Version 2 works"); bodies of errors are as short as they may be.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Clock } from "@aether/kit";
import type { CloudLayout, NodeLayout } from "../layout.ts";
import type { Announcements } from "./interruptions.ts";
import { readMetadata } from "./metadata.ts";
import { createSessionTokens } from "./tokens.ts";

export interface MetadataServerOptions {
  readonly cloud: Pick<CloudLayout, "nodes" | "region">;
  readonly announcements: Announcements;
  readonly clock: Clock;
  /** Which node asks. By default by the connection's source address. */
  readonly nodeOf?: (request: IncomingMessage) => NodeLayout | undefined;
}

const ttlHeader = "x-aws-ec2-metadata-token-ttl-seconds";
const tokenHeader = "x-aws-ec2-metadata-token";

/** Not yet listening: the caller binds it. */
export function createMetadataServer(options: MetadataServerOptions): Server {
  const { cloud, announcements, clock } = options;
  const tokens = createSessionTokens(clock);
  const startedAtMs = clock.nowMs();
  const byAddress = new Map(cloud.nodes.map((node) => [node.address, node]));
  const nodeOf = options.nodeOf ?? ((request) => byAddress.get(request.socket.remoteAddress?.replace(/^::ffff:/, "") ?? ""));

  return createServer({ requestTimeout: 10_000, keepAliveTimeout: 30_000 }, (request, response) => {
    request.resume();
    const node = nodeOf(request);
    const path = pathOf(request);
    if (node === undefined || path === undefined) return answer(response, node === undefined ? 403 : 400);
    if (path === "/latest/api/token") return issueToken(node, request, response);
    if (request.method !== "GET" && request.method !== "HEAD") return answer(response, 405, "", { allow: "GET, HEAD" });
    const token = request.headers[tokenHeader];
    if (typeof token !== "string" || !tokens.isValid(node.id, token)) return answer(response, 401);
    const text = readMetadata(
      {
        node,
        region: cloud.region,
        architecture: process.arch === "arm64" ? "arm64" : "x86_64",
        startedAtMs,
        notice: announcements.of(node.id, "notice"),
        rebalance: announcements.of(node.id, "rebalance"),
      },
      path,
    );
    if (text === undefined) return answer(response, 404);
    answer(response, 200, text, { "content-type": text.startsWith("{") ? "application/json" : "text/plain" });
  });

  function issueToken(node: NodeLayout, request: IncomingMessage, response: ServerResponse): void {
    const text = request.headers[ttlHeader];
    const ttlSeconds = typeof text === "string" && /^\d{1,5}$/.test(text) ? Number(text) : 0;
    if (request.method !== "PUT") answer(response, 405, "", { allow: "OPTIONS, PUT" });
    // A request that came through a proxy is refused: the token must not leave the instance.
    else if (request.headers["x-forwarded-for"] !== undefined) answer(response, 403);
    else if (ttlSeconds < 1 || ttlSeconds > 21_600) answer(response, 400);
    else {
      answer(response, 200, tokens.issue(node.id, ttlSeconds), { "content-type": "text/plain", [ttlHeader]: String(ttlSeconds) });
    }
  }
}

const titles: Record<number, string> = {
  400: "400 - Bad Request",
  401: "401 - Unauthorized",
  403: "403 - Forbidden",
  404: "404 - Not Found",
  405: "405 - Method Not Allowed",
};

function answer(response: ServerResponse, status: number, body = titles[status] ?? "", headers: Record<string, string> = {}): void {
  response.writeHead(status, { server: "EC2ws", "content-type": "text/plain", "content-length": Buffer.byteLength(body), ...headers });
  response.end(response.req.method === "HEAD" ? undefined : body);
}

function pathOf(request: IncomingMessage): string | undefined {
  try {
    return decodeURIComponent(new URL(request.url ?? "/", "http://169.254.169.254").pathname);
  } catch {
    return undefined; // a path that is not UTF-8, or no path at all: 400
  }
}
