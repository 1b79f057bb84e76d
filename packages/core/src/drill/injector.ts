// Announces an interruption where a real one would be: the local cloud's metadata service, over a unix socket given by configuration.
import { request } from "node:http";
import { type Fault, fault } from "@aether/contract";

export interface Injector {
  /** From now on the node's metadata service says so. Repeating it changes nothing. Throws DRILL_UNAVAILABLE, UNAVAILABLE. */
  announce(nodeId: string, kind: "notice" | "rebalance", afterSeconds: number, signal: AbortSignal): Promise<void>;
  /** It says nothing any more. Safe when nothing is announced. */
  withdraw(nodeId: string, signal: AbortSignal): Promise<void>;
}

const deadlineMs = 5_000;

/** @param socketPath the unix socket; undefined: nothing can be announced here. */
export function createInjector(socketPath: string | undefined): Injector {
  return {
    async announce(nodeId, kind, afterSeconds, signal) {
      await call(socketPath, "POST", "/interruptions", { nodeId, kind, afterSeconds }, signal);
    },
    async withdraw(nodeId, signal) {
      await call(socketPath, "DELETE", `/interruptions/${encodeURIComponent(nodeId)}`, undefined, signal);
    },
  };
}

function call(socketPath: string | undefined, method: string, path: string, body: object | undefined, signal: AbortSignal): Promise<void> {
  if (socketPath === undefined) throw fault("DRILL_UNAVAILABLE", "drill.injector is not configured");
  const text = body === undefined ? "" : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const refuse = (why: string, cause?: unknown): Fault =>
      fault("UNAVAILABLE", `${method} ${path} at ${socketPath}: ${why}`, cause === undefined ? {} : { cause });
    const asked = request(
      {
        socketPath,
        method,
        path,
        signal: AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]),
        headers: { "content-type": "application/json", "content-length": Buffer.byteLength(text) },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", (cause) => reject(refuse(cause.message, cause)));
        response.on("end", () => {
          const status = response.statusCode ?? 0;
          // Nothing was announced: that is what was wanted.
          if ((status >= 200 && status < 300) || (method === "DELETE" && status === 404)) resolve();
          else reject(refuse(`status ${status}: ${Buffer.concat(chunks).toString("utf8").slice(0, 300)}`));
        });
      },
    );
    asked.on("error", (cause) => reject(signal.aborted ? signal.reason : refuse(cause.message, cause)));
    asked.end(text);
  });
}
