// One look at a workload from outside, as its client would have it: a TCP connection, a GET, or a program inside it. Always with a
// deadline; the answer is a value, never an exception.

import { request } from "node:http";
import { connect } from "node:net";
import { Fault, fault } from "@aether/contract";
import type { HealthCheck } from "@aether/contract/gen/aether/v2/common_pb";
import type { Runtime } from "@aether/engine";
import { withDeadline } from "@aether/kit";

export interface HealthAnswer {
  readonly isPassing: boolean;
  /** One line: what was seen. */
  readonly detail: string;
}

/** Makes the check once, at the workload's own address. */
export async function checkHealth(
  check: HealthCheck,
  workload: { readonly name: string; readonly address: string },
  runtime: Pick<Runtime, "exec">,
  deadlineMs: number,
  outer: AbortSignal,
): Promise<HealthAnswer> {
  try {
    const detail = await withDeadline(
      "the health check",
      deadlineMs,
      (signal) => look(check, workload, runtime, deadlineMs, signal),
      outer,
    );
    return { isPassing: true, detail };
  } catch (caught) {
    return { isPassing: false, detail: Fault.from(caught).message.slice(0, 300) };
  }
}

async function look(
  { kind }: HealthCheck,
  { name, address }: { readonly name: string; readonly address: string },
  runtime: Pick<Runtime, "exec">,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<string> {
  if (kind.case === "tcpPort") return connectOnce(address, kind.value, signal);
  if (kind.case === "httpUrl") return getOnce(healthUrl(kind.value, address), signal);
  if (kind.case === "exec") {
    const { exitCode, stderr } = await runtime.exec(name, kind.value.argv, deadlineMs, signal);
    if (exitCode === 0) return "exit 0";
    throw fault("HEALTH_FAILED", `exit ${exitCode}: ${Buffer.from(stderr).toString("utf8").trim().slice(-200)}`);
  }
  throw fault("INVALID_ARGUMENT", "the health check is of a kind that this agent does not know");
}

function connectOnce(host: string, port: number, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    const socket = connect({ host, port, signal });
    socket.once("connect", () => {
      // A reset, not a FIN: the check must leave no connection behind that a checkpoint would have to keep.
      socket.resetAndDestroy();
      resolve(`connected to port ${port} in ${Math.round(performance.now() - startedMs)} ms`);
    });
    socket.once("error", (cause) => reject(fault("HEALTH_FAILED", `port ${port}: ${cause.message}`, { cause })));
  });
}

/** `http://:8080/ready` means the workload's own address. Throws INVALID_ARGUMENT. */
export function healthUrl(text: string, address: string): URL {
  const url = URL.parse(text.replace(/^(http:\/\/)(?=[:/]|$)/, `$1${address}`));
  if (url === null || url.protocol !== "http:") {
    throw fault("INVALID_ARGUMENT", `${JSON.stringify(text.slice(0, 200))} is not an http: URL`, { field: "health.http_url" });
  }
  return url;
}

function getOnce(url: URL, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method: "GET", agent: false, signal, headers: { connection: "close" } }, (incoming) => {
      const status = incoming.statusCode ?? 0;
      outgoing.destroy();
      if (status >= 200 && status < 300) resolve(`HTTP ${status}`);
      else reject(fault("HEALTH_FAILED", `${url.pathname} answered HTTP ${status}`));
    });
    outgoing.once("error", (cause) => reject(fault("HEALTH_FAILED", `${url.pathname}: ${cause.message}`, { cause })));
    outgoing.end();
  });
}
