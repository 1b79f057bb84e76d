// The few calls that the supervisor makes to core, over its REST interface, as any client would.
import { type FaultCode, fault, isFaultCode } from "@aether/contract";
import { z } from "zod";

export interface NodeView {
  readonly id: string;
  readonly isConnected: boolean;
  /** A process was checkpointed and restored there, as a trial. */
  readonly canMove: boolean;
  /** Why not; also while the trial has not ended. */
  readonly reason: string;
}

/** What an agent says of itself until its trial has ended (agent, host/capabilities.ts). */
export const trialRuns = "the canary has not run yet";

export interface CoreApi {
  isReady(): Promise<boolean>;
  createToken(name: string, role: "ROLE_AGENT" | "ROLE_OPERATOR", validSeconds: number): Promise<string>;
  nodes(): Promise<NodeView[]>;
  runWorkload(spec: object, nodeId: string): Promise<void>;
  /** State and health as the contract names them; undefined when there is no such workload. */
  workload(name: string): Promise<{ state: string; health: string; reason: string } | undefined>;
}

const problem = z.object({
  error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional(), field: z.string().optional() }),
});
const criu = z.object({ available: z.boolean().default(false), reason: z.string().default("") });
const nodes = z.object({
  nodes: z
    .array(
      z.object({
        id: z.string(),
        isConnected: z.boolean().default(false),
        facts: z.object({ capabilities: z.object({ criu: criu.optional() }).optional() }).optional(),
      }),
    )
    .default([]),
});
const workload = z.object({
  workload: z.object({ state: z.string().default(""), health: z.string().default(""), reason: z.string().default("") }),
});

/** `token`: of an admin. Each call within 10 s. Throws the Fault that core answered, or UNAVAILABLE. */
export function createCoreApi(url: string, token: () => string): CoreApi {
  const call = async (method: string, path: string, body?: object): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token()}`, ...(body && { "content-type": "application/json" }) },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    }).catch((cause: unknown) => {
      throw fault("UNAVAILABLE", `core at ${url} did not answer`, { cause });
    });
    const text = await response.text();
    if (response.ok) return text === "" ? {} : JSON.parse(text);
    throw faultOf(response.status, text);
  };
  return {
    async isReady() {
      const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined); // not up yet
      return response?.ok === true;
    },
    async createToken(name, role, validSeconds) {
      const answer = await call("POST", "/api/v2/tokens", { name, role, validSeconds });
      return z.object({ secret: z.string() }).parse(answer).secret;
    },
    async nodes() {
      const answer = nodes.parse(await call("GET", "/api/v2/nodes"));
      return answer.nodes.map(({ id, isConnected, facts }) => {
        const { available, reason } = facts?.capabilities?.criu ?? { available: false, reason: trialRuns };
        return { id, isConnected, canMove: available, reason };
      });
    },
    async runWorkload(spec, nodeId) {
      await call("POST", "/api/v2/workloads", { spec, nodeId });
    },
    async workload(name) {
      const answer = await call("GET", `/api/v2/workloads/${name}`).catch((caught: unknown) => {
        if (typeof caught === "object" && caught !== null && "code" in caught && caught.code === "WORKLOAD_NOT_FOUND") return undefined;
        throw caught;
      });
      return answer === undefined ? undefined : workload.parse(answer).workload;
    },
  };
}

function faultOf(status: number, text: string) {
  const parsed = problem.safeParse(parseJson(text));
  if (!parsed.success) return fault("UNAVAILABLE", `core answered ${status}: ${text.slice(0, 200)}`);
  const { code, message, hint, field } = parsed.data.error;
  const known: FaultCode = isFaultCode(code) ? code : "INTERNAL";
  return fault(known, message, { ...(hint && { hint }), ...(field && { field }) });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // an answer that is not ours: its first 200 characters are in the message
  }
}
