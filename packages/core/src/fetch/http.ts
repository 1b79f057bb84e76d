// One GET of a document that nobody vouches for: bounded in size and time, over http or https only, and, unless allowed, never to an address
// of this machine or a private network. The address that was checked is the one that is connected to, at every redirect too, so that a
// name cannot change its mind in between.
import { lookup } from "node:dns/promises";
import http from "node:http";
import https from "node:https";
import { isIP } from "node:net";
import { Fault, fault } from "@aether/contract";
import { isPrivateAddress } from "./private-address.ts";

export interface GetOptions {
  readonly timeoutMs: number;
  readonly mostBytes: number;
  readonly allowPrivateAddresses: boolean;
  /** What was heard last time, to be spared the same again. */
  readonly etag?: string;
  readonly lastModified?: string;
}

export type GetResult =
  | { readonly status: "fresh"; readonly text: string; readonly etag: string; readonly lastModified: string }
  | { readonly status: "unchanged" };

const mostRedirects = 3;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Throws UNAVAILABLE (with `details.retryAfterSeconds` where the server named a time), REQUEST_TOO_LARGE, DEADLINE_EXCEEDED, INVALID_ARGUMENT. */
export async function getDocument(url: string, options: GetOptions, signal: AbortSignal): Promise<GetResult> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(options.timeoutMs)]);
  let at = parseUrl(url);
  for (let hop = 0; ; hop++) {
    const answer = await once(at, options, deadline);
    if (!("location" in answer)) return answer;
    if (hop === mostRedirects) throw fault("UNAVAILABLE", `more than ${mostRedirects} redirects from ${url}`);
    const next = parseUrl(new URL(answer.location, at).href);
    if (at.protocol === "https:" && next.protocol === "http:") throw fault("UNAVAILABLE", `${at.host} redirects from https to http`);
    at = next;
  }
}

function parseUrl(text: string): URL {
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw fault("INVALID_ARGUMENT", `${url.protocol} is not fetched: only http and https are`);
  if (url.username !== "" || url.password !== "") throw fault("INVALID_ARGUMENT", "a URL with a user or password in it is not fetched");
  return url;
}

async function once(url: URL, options: GetOptions, signal: AbortSignal): Promise<GetResult | { readonly location: string }> {
  const address = await addressOf(url, options.allowPrivateAddresses, signal);
  signal.throwIfAborted();
  const response = await open(url, address, options, signal);
  const { statusCode = 0, headers } = response;
  const drop = (): void => void response.destroy();
  if (redirects.has(statusCode) && headers.location !== undefined) {
    drop();
    return { location: headers.location };
  }
  if (statusCode === 304) {
    drop();
    return { status: "unchanged" };
  }
  if (statusCode !== 200) {
    drop();
    const wait = retryAfterSeconds(headers["retry-after"]);
    throw fault(
      "UNAVAILABLE",
      `${url.host} answers ${statusCode}`,
      wait === undefined ? {} : { details: { retryAfterSeconds: String(wait) } },
    );
  }
  if ((headers["content-encoding"] ?? "identity") !== "identity") {
    drop();
    throw fault("UNAVAILABLE", `${url.host} sends ${headers["content-encoding"]}, which was not asked for`);
  }
  const text = await readText(response, url, options.mostBytes, signal);
  return { status: "fresh", text, etag: headerText(headers.etag), lastModified: headerText(headers["last-modified"]) };
}

const headerText = (value: string | undefined): string => (value ?? "").slice(0, 300);

async function addressOf(url: URL, allowPrivate: boolean, signal: AbortSignal): Promise<{ address: string; family: number }> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const family = isIP(host);
  const found =
    family === 0
      ? await orAborted(lookup(host, { all: true }), url, signal).catch((cause: unknown) => {
          throw signal.aborted ? cause : fault("UNAVAILABLE", `the name ${host} does not resolve`, { cause });
        })
      : [{ address: host, family }];
  const usable = allowPrivate ? found : found.filter(({ address }) => !isPrivateAddress(address));
  const [first] = usable;
  if (first !== undefined) return first;
  throw fault("UNAVAILABLE", `${host} is an address of this machine or of a private network`, {
    hint: "Set feeds.allowPrivateAddresses if that is meant.",
  });
}

/** A resolver has no deadline of its own that we may set. */
function orAborted<Value>(work: Promise<Value>, url: URL, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(failure(signal.reason, url, signal));
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

function open(url: URL, to: { address: string; family: number }, options: GetOptions, signal: AbortSignal): Promise<http.IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const request = (url.protocol === "https:" ? https : http).get(url, {
    signal,
    agent: false,
    maxHeaderSize: 16_384,
    // Whatever the name is, the connection goes to the address that was checked.
    lookup: (_host, given, done) => (given.all ? done(null, [to]) : done(null, to.address, to.family)),
    headers: {
      accept: "application/rss+xml, application/atom+xml, application/feed+json, application/json, application/xml, text/xml",
      "accept-encoding": "identity",
      "user-agent": "aether-guard",
      ...(options.etag ? { "if-none-match": options.etag } : {}),
      ...(options.lastModified ? { "if-modified-since": options.lastModified } : {}),
    },
  });
  request.once("response", resolve);
  request.once("error", (cause) => reject(failure(cause, url, signal)));
  return promise;
}

async function readText(response: http.IncomingMessage, url: URL, mostBytes: number, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > mostBytes) throw fault("REQUEST_TOO_LARGE", `${url.host} sends more than ${mostBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (caught) {
    response.destroy();
    throw failure(caught, url, signal);
  }
  if (!response.complete) throw fault("UNAVAILABLE", `${url.host} broke off after ${bytes} bytes`);
  return new TextDecoder().decode(Buffer.concat(chunks));
}

function failure(caught: unknown, url: URL, signal: AbortSignal): unknown {
  if (caught instanceof Fault) return caught;
  if (signal.aborted) {
    const isLate = signal.reason instanceof Error && signal.reason.name === "TimeoutError";
    return isLate ? fault("DEADLINE_EXCEEDED", `${url.host} did not answer in time`, { cause: caught }) : signal.reason;
  }
  const code = caught instanceof Error && "code" in caught && typeof caught.code === "string" ? ` (${caught.code})` : "";
  return fault("UNAVAILABLE", `${url.host} cannot be read${code}`, { cause: caught });
}

/** Seconds, of both forms of the header; at most a day. */
function retryAfterSeconds(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(86_400, Math.max(0, Math.round(seconds))) : undefined;
}
