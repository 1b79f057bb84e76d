// The one exit for errors: whatever a handler threw leaves as a row of the error table with the trace id; what is unknown is logged in full
// here and leaves without its text.
import { type Fault, fault } from "@aether/contract";
import type { Logger } from "@aether/kit";
import type { ConnectError, Interceptor, StreamResponse } from "@connectrpc/connect";
import { StatementError } from "../db/statement-error.ts";
import { callerOf } from "./caller.ts";
import { faultOf } from "./error-body.ts";

export function faultInterceptor(log: Logger, count: (method: string, code: string) => void): Interceptor {
  return (next) => async (request) => {
    const { traceId, isStillValid } = callerOf({ values: request.contextValues });
    const name = `${request.service.typeName}/${request.method.name}`;
    const leave = (caught: unknown): ConnectError => {
      const problem = databaseFault(caught) ?? faultOf(caught);
      count(name, problem.code);
      if (problem.code === "INTERNAL") log.error({ err: caught, traceId, method: name }, "request failed");
      return problem.toConnectError(traceId);
    };
    try {
      const response = await next(request);
      if (response.stream) return { ...response, message: guarded(response, leave, isStillValid) } satisfies StreamResponse;
      count(name, "OK");
      return response;
    } catch (caught) {
      throw leave(caught);
    }
  };
}

/** A long answer ends where its credential does: what was revoked hears nothing more. */
async function* guarded(
  { message }: StreamResponse,
  leave: (caught: unknown) => ConnectError,
  isStillValid: (() => Promise<boolean>) | undefined,
): StreamResponse["message"] {
  try {
    for await (const each of message) {
      if (isStillValid !== undefined && !(await isStillValid())) throw fault("UNAUTHENTICATED", "the credential has ended");
      yield each;
    }
  } catch (caught) {
    throw leave(caught);
  }
}

/** A class 53 error of PostgreSQL is a lack of resources (disk full is 53100); every other one is a mistake of ours. */
function databaseFault(caught: unknown): Fault | undefined {
  if (!(caught instanceof StatementError)) return undefined;
  if (caught.code === "53100") return fault("DISK_FULL", "the database's disk is full", { cause: caught });
  return fault("INTERNAL", caught.message, { cause: caught });
}
