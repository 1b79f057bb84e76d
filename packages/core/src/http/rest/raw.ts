// Methods whose REST form is bytes instead of JSON (options raw_response and raw_request): files of any length, in constant memory. A download whose
// request has `offset` and `length` is answered in ranges (RFC 9110, 14), with the digest of the whole (RFC 9530) where the first message names it.
import { type Fault, fault } from "@aether/contract";
import {
  raw_content_type as rawContentType,
  raw_request as rawRequest,
  raw_response as rawResponse,
} from "@aether/contract/gen/aether/v2/options_pb";
import { create, type DescMessage, type DescMethod, getOption, type Message } from "@bufbuild/protobuf";
import type { FastifyReply, FastifyRequest } from "fastify";
import { fieldOf } from "./request-json.ts";
import { writeChunk } from "./stream.ts";

export const isRawResponse = (method: DescMethod): boolean => getOption(method, rawResponse);
/** The media type of a raw response. */
export const rawContentTypeOf = (method: DescMethod): string => getOption(method, rawContentType) || "application/octet-stream";
export const isRawRequest = (method: DescMethod): boolean => getOption(method, rawRequest);

const value = (message: Message, name: string): unknown => Reflect.get(message, name);

/** What a Range asks for; undefined: the whole, also for what we do not answer in parts (several ranges, the last n bytes), as RFC 9110 allows. */
function rangeOf(request: FastifyRequest): { readonly from: bigint; readonly length: bigint } | undefined {
  const found = /^bytes=(\d{1,18})-(\d{1,18})?$/.exec(request.headers.range ?? "");
  if (found?.[1] === undefined) return undefined;
  const from = BigInt(found[1]);
  if (found[2] === undefined) return { from, length: 0n };
  const to = BigInt(found[2]);
  return to < from ? undefined : { from, length: to - from + 1n };
}

/** Fills `offset` and `length` from the Range header, where the method has them. A range of something that has changed since is not one (If-Range). */
export function askForRange(type: DescMessage, message: Message, request: FastifyRequest): void {
  const range = rangeOf(request);
  if (range === undefined || fieldOf(type, "offset") === undefined || fieldOf(type, "length") === undefined) return;
  Reflect.set(message, "offset", range.from);
  Reflect.set(message, "length", range.length);
}

export interface RawAnswer {
  readonly header: Headers;
  readonly message: AsyncIterable<Message>;
}

/** Sends the bytes. A refusal comes before the first of them and is thrown; what fails later cuts the connection, so that nobody takes it for whole. */
export async function sendRaw(
  method: DescMethod,
  request: FastifyRequest,
  reply: FastifyReply,
  answer: Promise<RawAnswer>,
  gone: AbortSignal,
): Promise<void> {
  const { header, message: messages } = await answer;
  const iterator = messages[Symbol.asyncIterator]();
  let step = await iterator.next();
  const first = step.done ? undefined : step.value;
  reply.hijack();
  for (const [name, each] of Object.entries(reply.getHeaders())) if (each !== undefined) reply.raw.setHeader(name, each);
  reply.raw.setHeader("content-type", rawContentTypeOf(method));
  reply.raw.setHeader("content-disposition", header.get("aether-content-disposition") ?? "attachment");
  reply.raw.setHeader("cache-control", "no-store");
  reply.raw.writeHead(first === undefined ? 200 : describeRange(request, reply, first));
  const isHead = request.method === "HEAD";
  try {
    for (; !step.done && !isHead; step = await iterator.next()) {
      const data = value(step.value, "data");
      if (data instanceof Uint8Array && data.length > 0 && !(await writeChunk(reply.raw, data, gone))) return;
    }
    reply.raw.end();
  } catch {
    reply.raw.destroy();
  } finally {
    await iterator.return?.();
  }
}

/** The status, and the headers that a whole or a part of known length has. */
function describeRange(request: FastifyRequest, reply: FastifyReply, first: Message): 200 | 206 {
  const total = value(first, "totalBytes");
  const sha256 = value(first, "sha256");
  if (typeof sha256 === "string" && sha256 !== "") {
    reply.raw.setHeader("repr-digest", `sha-256=:${Buffer.from(sha256, "hex").toString("base64")}:`);
    reply.raw.setHeader("etag", `"${sha256}"`);
  }
  if (typeof total !== "bigint") return 200;
  reply.raw.setHeader("accept-ranges", "bytes");
  const range = rangeOf(request);
  const from = range?.from ?? 0n;
  const length = range === undefined || range.length === 0n || from + range.length > total ? total - from : range.length;
  reply.raw.setHeader("content-length", String(length));
  if (range === undefined) return 200;
  reply.raw.setHeader("content-range", `bytes ${from}-${from + length - 1n}/${total}`);
  return 206;
}

/**
 * The body as messages, the first one with what path, query and headers say. Refusals of the body itself are kept in `problem`: the transport would
 * wrap them.
 */
export function receiveRaw(
  type: DescMessage,
  head: Message,
  request: FastifyRequest,
  keep: (problem: Fault) => void,
): AsyncIterable<Message> {
  const refuse = (problem: Fault): Fault => {
    keep(problem);
    return problem;
  };
  return (async function* () {
    const { body } = request;
    const mime = (request.headers["content-type"] ?? "").split(";")[0]?.trim();
    const isStream = typeof body === "object" && body !== null && Symbol.asyncIterator in body;
    if (!isStream && !(body === undefined && mime === ""))
      throw refuse(fault("UNSUPPORTED_MEDIA_TYPE", "the body must be application/octet-stream", { field: "Content-Type" }));
    digestOf(type, head, request, refuse);
    yield head;
    if (!isStream) return;
    for await (const chunk of body as AsyncIterable<Buffer>) yield Object.assign(create(type), { data: new Uint8Array(chunk) });
  })();
}

/** `Repr-Digest: sha-256=:…:` (RFC 9530) fills the field `sha256`. */
function digestOf(type: DescMessage, head: Message, request: FastifyRequest, refuse: (problem: Fault) => Fault): void {
  const text = request.headers["repr-digest"] ?? request.headers["content-digest"];
  if (typeof text !== "string" || fieldOf(type, "sha256") === undefined) return;
  const base64 = /(?:^|,\s*)sha-256=:([A-Za-z0-9+/]{43}=):/.exec(text)?.[1];
  if (base64 === undefined) throw refuse(fault("INVALID_ARGUMENT", "Repr-Digest must hold sha-256=:BASE64:", { field: "Repr-Digest" }));
  const hex = Buffer.from(base64, "base64").toString("hex");
  const said = value(head, "sha256");
  if (typeof said === "string" && said !== "" && said !== hex)
    throw refuse(fault("INVALID_ARGUMENT", "Repr-Digest and sha256 are two different digests", { field: "Repr-Digest" }));
  Reflect.set(head, "sha256", hex);
}
