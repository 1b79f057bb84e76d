// The way to core: finds its address and a token, and makes typed clients over HTTP/1.1. `Fault.from` makes core's own errors of what they throw.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Fault, fault } from "@aether/contract";
import { isErrno } from "@aether/kit";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import type { CommonOptions } from "./options.ts";

export interface CoreAddress {
  readonly url: string;
  readonly token: string;
}

export interface Core {
  readonly url: string;
  client<Service extends DescService>(service: Service): Client<Service>;
}

/**
 * --url and --token, else AETHER_URL and AETHER_TOKEN, else what `aether up` wrote into the directory.
 * Throws UNAVAILABLE when nothing says where core is.
 */
export async function findCore(options: CommonOptions, dir: string, environment: NodeJS.ProcessEnv = process.env): Promise<CoreAddress> {
  const url = options.url ?? environment.AETHER_URL;
  const token = options.token ?? environment.AETHER_TOKEN;
  if (url !== undefined && token !== undefined) return { url: checkUrl(url), token };
  const file = join(dir, "cli.json");
  const written = await readCliFile(file);
  // A token is only sent to the core that gave it: one from the file never goes to another --url.
  if (written !== undefined && (url === undefined || checkUrl(url) === written.url))
    return { url: written.url, token: token ?? written.token };
  if (url !== undefined) return { url: checkUrl(url), token: token ?? "" };
  throw fault("UNAVAILABLE", `no core is known: ${file} does not exist`, {
    hint: "Start a local cloud with `aether up`, or name a core with --url and --token (AETHER_URL, AETHER_TOKEN).",
  });
}

/** Nothing is sent before the first call. */
export function openCore(address: CoreAddress): Core {
  const transport = createConnectTransport({
    baseUrl: address.url,
    httpVersion: "1.1",
    interceptors: [authorize(address.token), tellUnreachable(address.url)],
  });
  return { url: address.url, client: (service) => createClient(service, transport) };
}

const authorize =
  (token: string): Interceptor =>
  (next) =>
  (request) => {
    if (token !== "") request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };

/** In the form in which core's own errors arrive: the client would wrap any other. */
const tellUnreachable =
  (url: string): Interceptor =>
  (next) =>
  async (request) => {
    try {
      return await next(request);
    } catch (caught) {
      throw unreachable(caught, url)?.toConnectError() ?? caught;
    }
  };

/** A connection that could not be made is told as such; anything that core itself answered is left as it is. */
function unreachable(caught: unknown, url: string): Fault | undefined {
  for (let at: unknown = caught; at instanceof Error; at = at.cause) {
    if (isErrno(at, "ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "ETIMEDOUT", "ECONNRESET")) {
      return fault("UNAVAILABLE", `core at ${url} does not answer (${at.message})`, {
        cause: caught,
        hint: "Is it running? `aether up` starts a local cloud; `aether doctor --target core` looks closer.",
      });
    }
  }
  return undefined;
}

async function readCliFile(file: string): Promise<CoreAddress | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "ENOTDIR")) return undefined;
    if (isErrno(caught, "EACCES")) {
      throw fault("PERMISSION_DENIED", `${file} may not be read by this user`, {
        cause: caught,
        hint: "The local cloud was started by another user (root?): run this command as that user.",
      });
    }
    throw caught;
  }
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed === "object" && parsed !== null && "url" in parsed && "token" in parsed) {
    if (typeof parsed.url === "string" && typeof parsed.token === "string") return { url: parsed.url, token: parsed.token };
  }
  throw fault("CONFIG_INVALID", `${file} must hold a url and a token`);
}

function checkUrl(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text.replace(/\/+$/, "");
  throw fault("INVALID_ARGUMENT", `the address of core must be a URL such as http://127.0.0.1:3000, not ${JSON.stringify(text)}`, {
    field: "url",
  });
}
