// `POST /analyze` alone: stateless, without a database and without a fleet, for whoever wants only the answer. Off this machine's loopback a
// token is demanded. The body is read once and answered in one go: this is the path that is measured (bench/risk/serve.ts).
import { createHash, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fault } from "@aether/contract";
import { createLogger, type Logger, runUntilSignalled, type Stoppable } from "@aether/kit";
import { analyze, DEFAULT_HAZARD_MODEL, parseAnalyzeRequest, type RuleThresholds } from "@aether/risk";
import fastify from "fastify";
import { errorBody, faultOf, statusOf } from "../http/error-body.ts";
import { originOf } from "../http/origin.ts";
import { addSecurityHeaders } from "../http/security-headers.ts";
import { fieldFault } from "./analyze.ts";

export interface RiskServerOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly thresholds: RuleThresholds;
  /** Holds the token that callers send as `Authorization: Bearer`. Required off the loopback. */
  readonly tokenFile?: string | undefined;
}

export interface RiskServer extends Stoppable {
  readonly address: string;
  readonly port: number;
}

const bodyLimitBytes = 64 * 1024;
const loopback = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/;

/** Throws CONFIG_INVALID without a token off the loopback, UNAVAILABLE when the port is taken. */
export async function startRiskServer(options: RiskServerOptions): Promise<RiskServer> {
  const { host, port, thresholds, tokenFile } = options;
  const token = tokenFile === undefined ? undefined : (await readFile(tokenFile, "utf8")).trim();
  if (token === "") throw fault("CONFIG_INVALID", `${tokenFile} is empty`, { field: "token-file" });
  if (token === undefined && !loopback.test(host))
    throw fault("CONFIG_INVALID", `${host} is reachable from elsewhere, so callers must show a token`, {
      field: "token-file",
      hint: "Give --token-file FILE, or listen on 127.0.0.1.",
    });
  const isAllowed = gate(token);
  const app = fastify({ bodyLimit: bodyLimitBytes, requestTimeout: 10_000, forceCloseConnections: true });
  addSecurityHeaders(app);
  app.setErrorHandler((caught, request, reply) => {
    const status = caught instanceof Error && "statusCode" in caught ? caught.statusCode : undefined;
    const problem =
      status === 413
        ? fault("REQUEST_TOO_LARGE", `the body is larger than ${bodyLimitBytes} bytes`)
        : status === 415
          ? fault("UNSUPPORTED_MEDIA_TYPE", "the body must be application/json")
          : typeof status === "number" && status < 500
            ? fault("INVALID_ARGUMENT", caught instanceof Error ? caught.message : "the request cannot be read")
            : faultOf(caught);
    return reply.code(statusOf(problem)).send(errorBody(problem, originOf(request.raw).trace.traceId));
  });
  app.setNotFoundHandler((request) => {
    throw fault("ROUTE_NOT_FOUND", `there is no ${request.method} ${request.url.split("?")[0]?.slice(0, 200)}`);
  });
  app.get("/healthz", async () => ({ status: "ok" }));
  app.post("/analyze", async (request) => {
    if (!isAllowed(request.headers.authorization)) throw fault("UNAUTHENTICATED");
    const parsed = parseAnalyzeRequest(request.body);
    if ("errors" in parsed) throw fieldFault(parsed.errors);
    const { trend, volatilityUsd, relativeVolatility, ...answer } = analyze(DEFAULT_HAZARD_MODEL, parsed.request, thresholds);
    // What could not be measured is absent, as in the control plane's answer.
    return {
      ...answer,
      ...(trend === null ? {} : { trend }),
      ...(volatilityUsd === null ? {} : { volatilityUsd }),
      ...(relativeVolatility === null ? {} : { relativeVolatility }),
    };
  });
  try {
    await app.listen({ host, port });
  } catch (cause) {
    throw fault("UNAVAILABLE", `cannot listen on ${host}:${port}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  const at = app.server.address();
  const bound = typeof at === "object" && at !== null ? { address: at.address, port: at.port } : { address: host, port };
  return { ...bound, stop: () => app.close() };
}

function gate(token: string | undefined): (header: string | undefined) => boolean {
  if (token === undefined) return () => true;
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  const wanted = digest(`Bearer ${token}`);
  return (header) => header !== undefined && timingSafeEqual(digest(header), wanted);
}

/** `aether risk serve`: until SIGTERM or SIGINT. */
export async function serveRisk(options: RiskServerOptions, log: Logger = createLogger({ name: "risk" })): Promise<void> {
  await runUntilSignalled(log, async () => {
    const server = await startRiskServer(options);
    log.info({ address: server.address, port: server.port }, "risk.started");
    return server;
  });
}
