// v1 for old clients, on the same gate and handlers as v2: each answer says that it is deprecated (RFC 9745), until when it is there (RFC 8594), and
// where it is written what replaces it. `X-API-Key` is taken as the token that it is.
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { fault } from "@aether/contract";
import { create, type DescMethodUnary } from "@bufbuild/protobuf";
import type { ConnectRouter, Transport } from "@connectrpc/connect";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { faultOf } from "../error-body.ts";
import { type Origin, originOf, valuesWith } from "../origin.ts";
import { inMemoryTransport } from "../rest/in-memory.ts";
import { askForRange, type RawAnswer, sendRaw } from "../rest/raw.ts";
import { sendFault } from "../rest/transcoding.ts";
import { serveText } from "../static-files.ts";
import type { V1Answer, V1Call, V1Route, V1Upload } from "./call.ts";
import { firstFile } from "./form.ts";
import { v1Page } from "./page.ts";
import { v1Routes } from "./routes.ts";

/** When v2 took its place, and until when v1 stays. */
const deprecatedAt = new Date("2026-11-26T00:00:00Z");
export const sunsetAt = new Date("2027-12-01T00:00:00Z");

export function serveV1(app: FastifyInstance, router: ConnectRouter): void {
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  for (const route of v1Routes) {
    app.route({
      method: route.verb,
      url: `/api/v1${route.path.replace(/\{(\w+)\}/g, ":$1")}`,
      async handler(request, reply) {
        const origin = originOf(request.raw);
        mark(reply, route);
        try {
          const gone = goneOf(reply);
          const transport = inMemoryTransport(handlers, valuesWith(origin));
          if (route.upload !== undefined) {
            const { status, body } = await takeFile(route.upload, request, transport, gone);
            echo(reply, origin);
            return reply.code(status).send(body);
          }
          if (isStream(request.body)) throw fault("UNSUPPORTED_MEDIA_TYPE", "the body must be application/json", { field: "Content-Type" });
          const call: V1Call = {
            input: route.verb === "GET" ? request.query : request.body,
            params: request.params as Record<string, string>,
            async rpc(method, message) {
              if (!handlers.has(`/${method.parent.typeName}/${method.name}`)) {
                throw fault("GONE", "this control plane does not serve it", { details: { replacedBy: route.replacedBy } });
              }
              const answer = await transport.unary(
                method as DescMethodUnary,
                gone,
                undefined,
                headersOf(request),
                create(method.input, message) as never,
              );
              return { message: answer.message as never };
            },
          };
          if (route.download !== undefined) {
            const { method, message } = await route.download(call);
            askForRange(method.input, message, request);
            echo(reply, origin);
            const answer = transport.stream(method, gone, undefined, headersOf(request), one(message) as never);
            await sendRaw(method, request, reply, answer as Promise<RawAnswer>, gone);
            return reply;
          }
          if (route.serve === undefined) throw fault("INTERNAL", `nothing serves ${route.path}`);
          const { status, body } = await route.serve(call);
          echo(reply, origin);
          reply.header("cache-control", "no-store");
          return reply.code(status).type("application/json; charset=utf-8").send(JSON.stringify(body));
        } catch (caught) {
          return sendFault(reply, faultOf(caught), origin);
        }
      },
    });
  }
  serveText(app, "/docs/v1", "html", v1Page(v1Routes, sunsetAt));
}

const isStream = (body: unknown): body is Readable => body instanceof Readable;

/** The form's file through the same RPC as any other upload; its digest is found on the way. */
async function takeFile(
  { method, first, last, answer }: V1Upload,
  request: FastifyRequest,
  transport: Transport,
  gone: AbortSignal,
): Promise<V1Answer> {
  const contentType = request.headers["content-type"] ?? "";
  const { body } = request;
  if (!isStream(body)) throw fault("UNSUPPORTED_MEDIA_TYPE", "the body must be multipart/form-data", { field: "Content-Type" });
  const broken = new AbortController();
  let problem: unknown;
  const messages = (async function* () {
    const hash = createHash("sha256");
    yield create(method.input, first(request.params as Record<string, string>));
    try {
      for await (const data of firstFile(body, contentType)) {
        hash.update(data);
        yield create(method.input, { data });
      }
    } catch (caught) {
      problem = caught;
      broken.abort(caught); // what has come is not a file
      throw caught;
    }
    yield create(method.input, last(hash.digest("hex")));
  })();
  try {
    const signal = AbortSignal.any([gone, broken.signal]);
    const replies = await transport.stream(method, signal, undefined, headersOf(request), messages as never);
    for await (const message of replies.message) return answer(message);
    throw fault("INTERNAL", `${method.name} answered nothing`);
  } catch (caught) {
    throw problem ?? caught;
  }
}

/** Aborts when the client is gone. */
function goneOf(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.on("close", () => gone.abort(fault("CANCELLED", "the client closed the connection")));
  return gone.signal;
}

function echo(reply: FastifyReply, origin: Origin): void {
  reply.header("traceparent", origin.trace.traceparent).header("x-request-id", origin.requestId);
}

async function* one<Item>(item: Item): AsyncGenerator<Item> {
  yield item;
}

function mark(reply: FastifyReply, { replacedBy }: V1Route): void {
  reply.header("deprecation", `@${deprecatedAt.getTime() / 1000}`).header("sunset", sunsetAt.toUTCString());
  const path = /(?:GET|POST) (\/\S+?)[,;]?(?:\s|$)/.exec(replacedBy)?.[1];
  const successor = path === undefined || path.includes("{") ? [] : [`<${path}>; rel="successor-version"`];
  reply.header("link", ['</docs/v1>; rel="deprecation"; type="text/html"', ...successor].join(", "));
}

/** The credential, and what makes a request the same request. */
function headersOf({ headers }: FastifyRequest): Headers {
  const out = new Headers();
  for (const name of ["authorization", "idempotency-key", "traceparent", "x-request-id"]) {
    const value = headers[name];
    if (typeof value === "string") out.set(name, value);
  }
  const key = headers["x-api-key"];
  if (typeof key === "string" && !out.has("authorization") && /^[\x21-\x7e]{1,200}$/.test(key)) out.set("authorization", `Bearer ${key}`);
  return out;
}
