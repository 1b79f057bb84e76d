// REST on the same handlers as gRPC: google.api.http transcoding by reflection. What a route does, who may call it and what it answers
// on failure is decided behind it; here is only the translation.
import { createHash } from "node:crypto";
import { type Fault, fault } from "@aether/contract";
import type { DescMethodStreaming, DescMethodUnary, JsonValue, Message } from "@bufbuild/protobuf";
import { toJson } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { errorBody, faultOf, statusOf } from "../error-body.ts";
import { type Origin, originOf, valuesWith } from "../origin.ts";
import { type Binding, bindingsOf } from "./bindings.ts";
import { inMemoryTransport } from "./in-memory.ts";
import { fieldOf, parseRequest } from "./request-json.ts";
import { keepAlive, ndjson, serverSentEvents, writeChunk } from "./stream.ts";

/** Serves every route that the router's services declare under /api/. */
export function serveRest(app: FastifyInstance, router: ConnectRouter): void {
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const bindings = bindingsOf(new Set(router.handlers.map(({ service }) => service)));
  app.all("/api/*", async (request, reply) => {
    const origin = originOf(request.raw);
    echo(reply, origin);
    const url = new URL(request.raw.url ?? "/", "http://local");
    const found = findBinding(bindings, request.method, url.pathname);
    if (found === undefined) return sendFault(reply, fault("ROUTE_NOT_FOUND", `there is no ${request.method} ${url.pathname}`), origin);
    const gone = new AbortController();
    reply.raw.on("close", () => gone.abort(fault("CANCELLED", "the client closed the connection")));
    try {
      const message = parseRequest(found.binding, found.match, url.searchParams, request.body as JsonValue | undefined);
      const transport = inMemoryTransport(handlers, valuesWith(origin));
      const method: DescMethodUnary | DescMethodStreaming = found.binding.method;
      const headers = forwardedHeaders(request);
      if (method.methodKind === "unary") {
        const answer = await transport.unary(method, gone.signal, undefined, headers, message as never);
        const cookie = answer.header.get("set-cookie");
        if (cookie !== null) reply.header("set-cookie", cookie);
        return sendMessage(request, reply, toJson(method.output, answer.message, { alwaysEmitImplicit: true }));
      }
      if (method.methodKind !== "server_streaming") throw fault("ROUTE_NOT_FOUND", `${method.name} needs a gRPC client`);
      resume(method.input, message, request);
      const messages = (async function* (): AsyncGenerator<Message> {
        const answer = await transport.stream(method, gone.signal, undefined, headers, one(message) as never);
        yield* answer.message;
      })();
      await sendStream(request, reply, found.binding, messages, gone.signal, origin);
      return reply;
    } catch (caught) {
      return sendFault(reply, faultOf(caught), origin, caught);
    }
  });
}

function findBinding(bindings: readonly Binding[], verb: string, pathname: string) {
  for (const binding of bindings) {
    const match = binding.verb === verb ? binding.regexp.exec(pathname) : null;
    if (match) return { binding, match };
  }
  return undefined;
}

/** Metadata of the HTTP request, less what describes its own body and connection. */
function forwardedHeaders(request: FastifyRequest): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (
      typeof value === "string" &&
      !/^(content-|accept|connection$|transfer-encoding$|te$|host$|expect$|connect-|grpc-|upgrade$)/.test(name)
    ) {
      headers.set(name, value);
    }
  }
  return headers;
}

/** A client of server-sent events resumes by a header; the contract by the field `after`. */
function resume(type: Binding["method"]["input"], message: Message, request: FastifyRequest): void {
  const last = request.headers["last-event-id"];
  const after = fieldOf(type, "after");
  if (typeof last !== "string" || after === undefined || after.fieldKind !== "scalar") return;
  if (!/^\d{1,18}$/.test(last))
    throw fault("INVALID_ARGUMENT", "Last-Event-ID must be the sequence of an event", { field: "Last-Event-ID" });
  Reflect.set(message, after.localName, BigInt(last));
}

function sendMessage(request: FastifyRequest, reply: FastifyReply, json: JsonValue): FastifyReply {
  const text = JSON.stringify(json);
  reply.type("application/json; charset=utf-8").header("cache-control", "no-store");
  if (request.method === "GET") {
    const etag = `"${createHash("sha256").update(text).digest("base64url").slice(0, 27)}"`;
    reply.header("etag", etag).header("cache-control", "no-cache");
    if (request.headers["if-none-match"] === etag) return reply.code(304).send();
  }
  return reply.send(text);
}

const firstMessageMs = 100;

async function sendStream(
  request: FastifyRequest,
  reply: FastifyReply,
  { method }: Binding,
  messages: AsyncIterable<Message>,
  gone: AbortSignal,
  origin: Origin,
): Promise<void> {
  const format = request.headers.accept?.includes("text/event-stream") ? serverSentEvents : ndjson;
  // The first message is awaited before the status is sent, so that a refusal still has its own status; a stream that is silent is opened
  // after a moment, because a page must know that it is connected.
  const iterator = messages[Symbol.asyncIterator]();
  let next = iterator.next();
  await Promise.race([next, new Promise((resolve) => setTimeout(resolve, firstMessageMs))]);
  reply.hijack();
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) reply.raw.setHeader(name, value);
  reply.raw.writeHead(200, { "content-type": format.contentType, "cache-control": "no-store", "x-accel-buffering": "no" });
  reply.raw.flushHeaders();
  const quiet = keepAlive(reply.raw, format);
  try {
    for (let step = await next; !step.done; step = await next) {
      const json = toJson(method.output, step.value, { alwaysEmitImplicit: true });
      if (!(await writeChunk(reply.raw, format.message(method.output, step.value, json), gone))) break;
      next = iterator.next();
    }
  } catch (caught) {
    const problem = faultOf(caught);
    if (!gone.aborted) reply.raw.write(format.error(errorBody(problem, origin.trace.traceId)));
  } finally {
    quiet();
    reply.raw.end();
  }
}

async function* one<Item>(item: Item): AsyncGenerator<Item> {
  yield item;
}

function echo(reply: FastifyReply, origin: Origin): void {
  reply.header("traceparent", origin.trace.traceparent).header("x-request-id", origin.requestId);
}

/** The error shape, with Retry-After where the limiter said so. */
export function sendFault(reply: FastifyReply, problem: Fault, origin: Origin, caught?: unknown): FastifyReply {
  const metadata = typeof caught === "object" && caught !== null && "metadata" in caught ? caught.metadata : undefined;
  const retryAfter = problem.details.retryAfterSeconds ?? (metadata instanceof Headers ? metadata.get("retry-after") : null);
  if (retryAfter) reply.header("retry-after", retryAfter);
  if (problem.code === "UNAUTHENTICATED") reply.header("www-authenticate", "Bearer");
  return reply
    .code(statusOf(problem))
    .type("application/json; charset=utf-8")
    .header("cache-control", "no-store")
    .send(JSON.stringify(errorBody(problem, origin.trace.traceId)));
}
