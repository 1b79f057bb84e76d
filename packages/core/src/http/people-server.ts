// The people's port: REST, Connect, gRPC-web, gRPC, health, metrics, the page.
import http2 from "node:http2";
import type { Socket } from "node:net";
import { type Fault, fault } from "@aether/contract";
import type { Logger } from "@aether/kit";
import { createConnectRouter } from "@connectrpc/connect";
import { fastifyConnectPlugin } from "@connectrpc/connect-fastify";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import { errorBody, faultOf } from "./error-body.ts";
import { endIdleSessions } from "./idle-sessions.ts";
import { mendMalformed } from "./malformed.ts";
import { createOnePort, type OnePort } from "./one-port.ts";
import { originOf, valuesWith } from "./origin.ts";
import { sendFault, serveRest } from "./rest/transcoding.ts";
import { bodyLimitBytes, type RpcOptions } from "./rpc-options.ts";
import { addSecurityHeaders } from "./security-headers.ts";
import { continueTrace } from "./trace.ts";
import { serveV1 } from "./v1/serve.ts";

export interface PeopleServerOptions extends RpcOptions {
  readonly log: Logger;
  /** Further routes on the same server: health, metrics, the page. */
  readonly plain: readonly ((app: FastifyInstance) => void | Promise<void>)[];
}

export async function createPeopleServer(options: PeopleServerOptions): Promise<OnePort> {
  const { routes, requestGate, interceptors, shutdownSignal, plain, log } = options;
  const rpc = { routes: mendMalformed(routes), requestGate, interceptors, shutdownSignal, readMaxBytes: bodyLimitBytes };
  const app = fastify({
    bodyLimit: bodyLimitBytes,
    forceCloseConnections: true,
    // Node's own limit counts an upload of any length; see refuseSlowBodies.
    requestTimeout: 0,
    clientErrorHandler: refuseUnreadable,
    // A URL that cannot be decoded is a mistake of the client like any other.
    frameworkErrors: (error, request, reply) => {
      sendFault(reply, fault("INVALID_ARGUMENT", error.message, { cause: error }), originOf(request.raw));
    },
  });
  app.server.headersTimeout = slowMs;
  refuseSlowBodies(app);
  addSecurityHeaders(app);
  app.setErrorHandler((error, request, reply) => {
    const origin = originOf(request.raw);
    const problem = requestFault(error) ?? faultOf(error);
    if (problem.code === "INTERNAL") log.error({ err: error, traceId: origin.trace.traceId, url: request.url }, "request failed");
    return sendFault(reply, problem, origin);
  });
  app.setNotFoundHandler((request, reply) => sendFault(reply, notFound(app, request), originOf(request.raw)));
  await app.register(fastifyConnectPlugin, { ...rpc, contextValues: (request) => valuesWith(originOf(request.raw)) });
  const router = createConnectRouter({ ...rpc, connect: true, grpc: false, grpcWeb: false });
  routes(router);
  // In a scope of its own: the RPC plugin reads bodies itself and takes the same content types.
  await app.register(async (scope) => {
    readJson(scope);
    // Read by the route itself, if it takes such a thing.
    scope.addContentTypeParser("application/octet-stream", (_request, payload, done) => done(null, payload));
    serveRest(scope, router);
  });
  await app.register(async (scope) => {
    readJson(scope);
    scope.addContentTypeParser("multipart/form-data", (_request, payload, done) => done(null, payload));
    serveV1(scope, router);
  });
  for (const add of plain) await add(app);
  await app.ready();

  const grpc = http2.createServer(
    { settings: { maxConcurrentStreams: 200 } },
    connectNodeAdapter({
      ...rpc,
      contextValues: (request) => valuesWith(originOf(request)),
      fallback: (request, response) => {
        const { trace } = originOf(request);
        response.writeHead(404, { "content-type": "application/json; charset=utf-8", traceparent: trace.traceparent });
        const body = errorBody(fault("ROUTE_NOT_FOUND", "HTTP/2 without TLS is for gRPC here; use HTTP/1.1 for REST"), trace.traceId);
        response.end(JSON.stringify(body));
      },
    }),
  );
  endIdleSessions(grpc);
  grpc.on("sessionError", (error) => log.debug({ err: error }, "an HTTP/2 session failed"));
  const port = createOnePort(app.server, grpc);
  return {
    listen: port.listen,
    async stop() {
      await port.stop();
      await app.close();
    },
  };
}

const slowMs = 30_000;
/** What a client that streams its request has not said for so long it will not say. */
const idleMs = 60_000;

/** A body that is read into memory comes within this time; one that is streamed has a limit for its pauses instead. */
function refuseSlowBodies(app: FastifyInstance): void {
  app.addHook("onRequest", async ({ raw }) => {
    const { headers } = raw;
    if (headers["content-length"] === undefined && headers["transfer-encoding"] === undefined) return;
    if (/^(application\/(octet-stream|connect\+|grpc)|multipart\/form-data)/.test(headers["content-type"] ?? "")) {
      raw.setTimeout(idleMs, () => raw.destroy(new Error(`nothing came for ${idleMs / 1000} s`)));
      raw.once("end", () => raw.setTimeout(0));
      return;
    }
    const timer = setTimeout(
      () => refuseUnreadable(Object.assign(new Error("too slow"), { code: "ERR_HTTP_REQUEST_TIMEOUT" }), raw.socket),
      slowMs,
    );
    for (const event of ["end", "close", "error"] as const) raw.once(event, () => clearTimeout(timer));
  });
}

/** JSON for REST: an empty body is an empty object, and a key that would touch a prototype is refused. */
function readJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser("error", "error");
  // Also the one for text/plain: what is not JSON is told so by its type, not by a message that it does not parse.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    if (body === "") done(null, undefined);
    else parse(request, body as string, done);
  });
}

/** A path that exists for another verb is told apart from one that does not exist. */
function notFound(app: FastifyInstance, { method, url }: FastifyRequest): Fault {
  const path = url.split("?")[0]?.slice(0, 200) ?? "/";
  const allowed = ["GET", "POST"].filter((verb) => app.hasRoute({ method: verb, url: path }));
  if (allowed.length === 0) return fault("ROUTE_NOT_FOUND", `there is no ${method} ${path}`);
  return fault("METHOD_NOT_ALLOWED", `${path} does not take ${method}`, { details: { allow: allowed.join(", ") } });
}

/** What is not HTTP, or has headers without end, never becomes a request: it is answered on the bare connection. */
function refuseUnreadable(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || socket.destroyed) return;
  const { traceId } = continueTrace(undefined);
  const [status, problem] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? ["431 Request Header Fields Too Large", fault("REQUEST_TOO_LARGE", "the headers are larger than 16 KiB")]
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? ["408 Request Timeout", fault("INVALID_ARGUMENT", "the request did not come in time")]
        : ["400 Bad Request", fault("INVALID_ARGUMENT", "this is not a request of HTTP/1.1")];
  const body = JSON.stringify(errorBody(problem as Fault, traceId));
  const head = [
    `HTTP/1.1 ${String(status)}`,
    "content-type: application/json; charset=utf-8",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
  ];
  if (socket.writable) socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
  else socket.destroy();
}

/** fastify's own refusals, in our table. */
function requestFault(error: unknown) {
  if (typeof error !== "object" || error === null || !("statusCode" in error)) return undefined;
  const message = error instanceof Error ? error.message : "the request cannot be read";
  if (error.statusCode === 413) return fault("REQUEST_TOO_LARGE", `the body is larger than ${bodyLimitBytes} bytes`);
  if (error.statusCode === 415) return fault("UNSUPPORTED_MEDIA_TYPE", "the body must be application/json", { field: "Content-Type" });
  if (typeof error.statusCode === "number" && error.statusCode >= 400 && error.statusCode < 500) return fault("INVALID_ARGUMENT", message);
  return undefined;
}
