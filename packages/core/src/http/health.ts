// /healthz: the process answers. /readyz: each dependency by name. No credential, and nothing secret in them.
import { Fault } from "@aether/contract";
import { withDeadline } from "@aether/kit";
import type { FastifyInstance } from "fastify";

/** Resolves when the dependency is well, throws why not. */
export type Readiness = Readonly<Record<string, (signal: AbortSignal) => Promise<void>>>;

const checkDeadlineMs = 2_000;

export function healthRoutes(readiness: Readiness): (app: FastifyInstance) => void {
  return (app) => {
    app.get("/healthz", async (_request, reply) => reply.header("cache-control", "no-store").send({ status: "ok" }));
    app.get("/readyz", async (_request, reply) => {
      const checks = await Promise.all(
        Object.entries(readiness).map(async ([name, check]) => {
          const startedMs = performance.now();
          const problem = await withDeadline(name, checkDeadlineMs, check).then(
            () => undefined,
            (caught: unknown) => Fault.from(caught).code,
          );
          const durationMs = Math.round(performance.now() - startedMs);
          return { name, status: problem === undefined ? "ok" : "failed", ...(problem === undefined ? {} : { problem }), durationMs };
        }),
      );
      const isReady = checks.every(({ status }) => status === "ok");
      return reply
        .code(isReady ? 200 : 503)
        .header("cache-control", "no-store")
        .send({ status: isReady ? "ok" : "failed", checks });
    });
  };
}
