// IMDSv2 over plain node:http with one kept connection (global fetch costs this process about 5 MB more).
// A session token is fetched by PUT, used until nine tenths of its life are over or the service answers 401, and never logged.
// Protocol: "Use the Instance Metadata Service to access instance metadata", Amazon EC2 User Guide.
import { Agent, request } from "node:http";
import { fault } from "@aether/contract";
import { type Clock, systemClock, withDeadline } from "@aether/kit";
import { parseWord } from "./answers.ts";

const tokenTtlSeconds = 21_600;
const maxAnswerBytes = 16 * 1024;

export interface ImdsClient {
  /**
   * GET of a path under /latest/. Undefined: 404, which for events means that nothing is announced.
   * Throws UNAVAILABLE for anything else (no route, 401 twice, 5xx, an answer over 16 KiB) and DEADLINE_EXCEEDED.
   */
  get(path: string, signal?: AbortSignal): Promise<string | undefined>;
  /** Frees the kept connection. */
  close(): void;
}

export interface ImdsClientOptions {
  /** e.g. http://169.254.169.254 */
  readonly endpoint: string;
  /** For each single request. Default 1000. */
  readonly deadlineMs?: number;
  readonly clock?: Clock;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Opens nothing yet: the first `get` does. */
export function createImdsClient(options: ImdsClientOptions): ImdsClient {
  const { hostname, port } = new URL(options.endpoint);
  const where = { hostname, port: port || 80 };
  const clock = options.clock ?? systemClock;
  const agent = new Agent({ keepAlive: true, maxSockets: 2, keepAliveMsecs: 5_000 });
  let token: { text: string; renewAtMs: number } | undefined;

  const call = (method: "GET" | "PUT", path: string, headers: Record<string, string>, outer?: AbortSignal): Promise<Answer> =>
    withDeadline(
      `metadata service: ${method} ${path}`,
      options.deadlineMs ?? 1_000,
      (signal) =>
        new Promise<Answer>((resolve, reject) => {
          const refuse = (cause: Error) => reject(signal.aborted ? signal.reason : asUnavailable(path, cause));
          const outgoing = request({ ...where, path: `/latest/${path}`, method, headers, agent, signal }, (incoming) => {
            const chunks: Buffer[] = [];
            let bytes = 0;
            incoming.on("data", (chunk: Buffer) => {
              bytes += chunk.length;
              if (bytes > maxAnswerBytes) outgoing.destroy(new Error(`the answer is larger than ${maxAnswerBytes} bytes`));
              else chunks.push(chunk);
            });
            incoming.on("error", refuse);
            incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") }));
          });
          outgoing.on("error", refuse);
          outgoing.end();
        }),
      outer,
    );

  async function fetchToken(signal?: AbortSignal): Promise<string> {
    const headers = { "X-aws-ec2-metadata-token-ttl-seconds": String(tokenTtlSeconds), "Content-Length": "0" };
    const { status, body } = await call("PUT", "api/token", headers, signal);
    if (status !== 200 || !/^[\x21-\x7e]{1,1024}$/.test(body)) {
      throw fault("UNAVAILABLE", `the metadata service gave no session token (HTTP ${status})`);
    }
    token = { text: body, renewAtMs: clock.monotonicMs() + tokenTtlSeconds * 900 };
    return body;
  }

  return {
    async get(path, signal) {
      for (let isSecondTry = false; ; isSecondTry = true) {
        const current = token !== undefined && clock.monotonicMs() < token.renewAtMs ? token.text : await fetchToken(signal);
        const { status, body } = await call("GET", path, { "X-aws-ec2-metadata-token": current }, signal);
        if (status === 200) return body;
        if (status === 404) return undefined;
        token = undefined;
        if (status !== 401 || isSecondTry) throw fault("UNAVAILABLE", `the metadata service answered HTTP ${status} for ${path}`);
      }
    },
    close: () => agent.destroy(),
  };
}

/** What an instance says about itself; empty where it does not say. */
export interface InstanceFacts {
  readonly instanceId: string;
  readonly instanceType: string;
  readonly zone: string;
  readonly zoneId: string;
  readonly region: string;
  /** spot | on-demand | scheduled */
  readonly lifecycle: string;
}

/** Reads the facts of this instance. Undefined: a service is there but knows no instance id. Throws as `get` does. */
export async function readInstanceFacts(client: ImdsClient, signal?: AbortSignal): Promise<InstanceFacts | undefined> {
  const read = async (path: string) => {
    const text = await client.get(`meta-data/${path}`, signal);
    return text === undefined ? "" : parseWord(path, text);
  };
  const instanceId = await read("instance-id");
  if (instanceId === "") return undefined;
  return {
    instanceId,
    instanceType: await read("instance-type"),
    zone: await read("placement/availability-zone"),
    zoneId: await read("placement/availability-zone-id"),
    region: await read("placement/region"),
    lifecycle: await read("instance-life-cycle"),
  };
}

function asUnavailable(path: string, cause: Error) {
  return fault("UNAVAILABLE", `the metadata service cannot be asked for ${path}: ${cause.message}`, { cause });
}
