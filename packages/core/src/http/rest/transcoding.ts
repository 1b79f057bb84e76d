// REST on the same handlers as gRPC: google.api.http transcoding by reflection. What a route does, who may call it and what it answers
// on failure is decided behind it; here is only the translation.
import { type Fault, fault } from "@aether/contract";
import type { DescMethodStreaming, DescMethodUnary, JsonValue, Message } from "@bufbuild/protobuf";
import { toJson } from "@bufbuild/protobuf";
import type { ConnectRouter, Transport } from "@connectrpc/connect";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { begunKey } from "../begun.ts";
import { errorBody, faultOf, statusOf } from "../error-body.ts";
import { type Origin, originOf, valuesWith } from "../origin.ts";
import { type Binding, bindingsOf } from "./bindings.ts";
import { entityTag, isKnown } from "./entity-tag.ts";
import { inMemoryTransport } from "./in-memory.ts";
import { askForRange, isRawRequest, isRawResponse, type RawAnswer, receiveRaw, sendRaw } from "./raw.ts";
import { fieldOf, parseRequest } from "./request-json.ts";
import { keepAlive, ndjson, serverSentEvents, writeChunk } from "./stream.ts";

interface Found {
  readonly binding: Binding;
  readonly match: RegExpExecArray;
  readonly pathname: string;
  readonly query: URLSearchParams;
}

/** One request on its way through. */
interface Call {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly origin: Origin;
  readonly transport: Transport;
  /** Aborts when the client is gone. */
  readonly gone: AbortSignal;
}

/** Serves every route that the router's services declare. */
export function serveRest(app: FastifyInstance, router: ConnectRouter): void {
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const bindings = bindingsOf(new Set(router.handlers.map(({ service }) => service)));
  /** Found before the body is read: what is no route needs none. */
  const routes = new WeakMap<FastifyRequest, Found>();
  app.addHook("onRequest", async (request, reply) => {
    try {
      routes.set(request, findBinding(bindings, request.method, request.raw.url ?? "/"));
    } catch (caught) {
      return sendFault(reply, faultOf(caught), originOf(request.raw));
    }
    return undefined;
  });
  const serve = async (request: FastifyRequest, reply: FastifyReply) => {
    const origin = originOf(request.raw);
    echo(reply, origin);
    const gone = new AbortController();
    reply.raw.on("close", () => gone.abort(fault("CANCELLED", "the client closed the connection")));
    const stands = Promise.withResolvers<void>();
    const values = valuesWith(origin).set(begunKey, stands.resolve);
    const call: Call = { request, reply, origin, transport: inMemoryTransport(handlers, values), gone: gone.signal };
    try {
      const found = routes.get(request);
      if (found === undefined) throw fault("INTERNAL", "a request that did not pass the look for its route");
      if (isRawRequest(found.binding.method)) return await upload(call, found);
      if (isStream(request.body)) throw fault("UNSUPPORTED_MEDIA_TYPE", "the body must be application/json", { field: "Content-Type" });
      const message = parseRequest(found.binding, found.match, found.query, request.body as JsonValue | undefined);
      const method: DescMethodUnary | DescMethodStreaming = found.binding.method;
      if (method.methodKind === "unary") return sendMessage(call, await ask(call, method, message));
      if (method.methodKind !== "server_streaming") throw fault("ROUTE_NOT_FOUND", `${method.name} needs a gRPC client`);
      if (isRawResponse(method)) {
        askForRange(method.input, message, request);
        const answer = call.transport.stream(method, call.gone, undefined, forwardedHeaders(request), one(message) as never);
        await sendRaw(method, request, reply, answer as Promise<RawAnswer>, call.gone);
        return reply;
      }
      resume(method.input, message, request);
      const messages = (async function* (): AsyncGenerator<Message> {
        const answer = await call.transport.stream(method, call.gone, undefined, forwardedHeaders(request), one(message) as never);
        yield* answer.message;
      })();
      await sendStream(call, method, messages, stands.promise);
      return reply;
    } catch (caught) {
      return sendFault(reply, faultOf(caught), origin);
    }
  };
  app.all("/api/*", serve);
  for (const { template } of bindings) if (!template.startsWith("/api/")) app.all(template, serve);
}

const isStream = (body: unknown): boolean => typeof body === "object" && body !== null && Symbol.asyncIterator in body;

/** The body as a stream of messages, the answer as JSON. What path and query say is in the first message. */
async function upload(call: Call, { binding, match, query }: Found): Promise<FastifyReply> {
  const method = binding.method as DescMethodStreaming;
  const head = parseRequest({ ...binding, body: "" }, match, query, undefined);
  let problem: Fault | undefined;
  const messages = receiveRaw(method.input, head, call.request, (found) => {
    problem = found;
  });
  try {
    const answer = await call.transport.stream(method, call.gone, undefined, forwardedHeaders(call.request), messages as never);
    for await (const message of answer.message)
      return sendMessage(call, JSON.stringify(toJson(method.output, message, { alwaysEmitImplicit: true })));
    throw fault("INTERNAL", `${method.name} answered nothing`);
  } catch (caught) {
    throw problem ?? caught;
  }
}

/** Throws METHOD_NOT_ALLOWED where only the verb is wrong, else ROUTE_NOT_FOUND. HEAD is a GET whose body the server leaves out. */
function findBinding(bindings: readonly Binding[], verb: string, address: string): Found {
  const { pathname, searchParams } = new URL(address, "http://local");
  const asked = verb === "HEAD" ? "GET" : verb;
  const allowed = new Set<string>();
  for (const binding of bindings) {
    const match = binding.regexp.exec(pathname);
    if (match === null) continue;
    if (binding.verb === asked) return { binding, match, pathname, query: searchParams };
    allowed.add(binding.verb);
    if (binding.verb === "GET") allowed.add("HEAD");
  }
  if (allowed.size === 0) throw fault("ROUTE_NOT_FOUND", `there is no ${verb} ${pathname.slice(0, 200)}`);
  throw fault("METHOD_NOT_ALLOWED", `${pathname.slice(0, 200)} does not take ${verb}`, { details: { allow: [...allowed].join(", ") } });
}

/** What a handler may say beside its message. */
const answerHeaders = ["set-cookie", "idempotent-replayed", "etag"];

async function ask({ request, reply, transport, gone }: Call, method: DescMethodUnary, message: Message): Promise<string> {
  const answer = await transport.unary(method, gone, undefined, forwardedHeaders(request), message as never);
  for (const name of answerHeaders) {
    const value = answer.header.get(name);
    if (value !== null) reply.header(name, value);
  }
  return JSON.stringify(toJson(method.output, answer.message, { alwaysEmitImplicit: true }));
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

function sendMessage({ request, reply }: Call, text: string): FastifyReply {
  reply.type("application/json; charset=utf-8").header("cache-control", "no-store");
  if (request.method !== "GET" && request.method !== "HEAD") return reply.send(text);
  const said = reply.getHeader("etag");
  const tag = typeof said === "string" ? said : entityTag(text);
  reply.header("etag", tag).header("cache-control", "no-cache");
  const known = request.headers["if-none-match"];
  if (known !== undefined && isKnown(known, tag)) return reply.code(304).send();
  return reply.send(text);
}

/** For a stream that neither speaks nor says that it stands. */
const firstMessageMs = 2_000;

async function sendStream(
  { request, reply, gone, origin }: Call,
  method: DescMethodStreaming,
  messages: AsyncIterable<Message>,
  stands: Promise<void>,
): Promise<void> {
  const format = request.headers.accept?.includes("text/event-stream") ? serverSentEvents : ndjson;
  // The first message, or the handler's word that the stream stands, is awaited before the status is sent: a refusal has its own status.
  const iterator = messages[Symbol.asyncIterator]();
  let next = iterator.next();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, firstMessageMs);
  });
  await Promise.race([next, stands, late]).finally(() => clearTimeout(timer));
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

/** The error shape, with the headers that belong to it: Retry-After, Allow, ETag, WWW-Authenticate. */
export function sendFault(reply: FastifyReply, problem: Fault, origin: Origin): FastifyReply {
  echo(reply, origin);
  const { retryAfterSeconds, allow, etag } = problem.details;
  if (retryAfterSeconds !== undefined) reply.header("retry-after", retryAfterSeconds);
  if (allow !== undefined) reply.header("allow", allow);
  if (etag !== undefined) reply.header("etag", etag);
  if (problem.code === "UNAUTHENTICATED") reply.header("www-authenticate", "Bearer");
  endUnread(reply);
  return reply
    .code(statusOf(problem))
    .type("application/json; charset=utf-8")
    .header("cache-control", "no-store")
    .send(JSON.stringify(errorBody(problem, origin.trace.traceId)));
}

/** Who is refused may finish what is on its way, so that the answer is read and not lost with the connection; but not for as long as it likes. */
const refusedBodyMs = 2_000;

function endUnread({ request: { raw } }: FastifyReply): void {
  if (raw.complete) return;
  const timer = setTimeout(() => raw.complete || raw.socket.destroy(), refusedBodyMs);
  timer.unref();
  raw.once("close", () => clearTimeout(timer));
}
