// The one shape in which an error leaves over HTTP.
import { Fault, type FaultCode } from "@aether/contract";
import { Code, ConnectError } from "@connectrpc/connect";

export interface ErrorBody {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint: string;
    readonly field?: string;
    readonly traceId: string;
    readonly details?: Readonly<Record<string, string>>;
  };
}

/** google.rpc.Code to HTTP, as google/rpc/code.proto says. */
const statusOfCode: Readonly<Record<Code, number>> = {
  [Code.Canceled]: 499,
  [Code.Unknown]: 500,
  [Code.InvalidArgument]: 400,
  [Code.DeadlineExceeded]: 504,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 409,
  [Code.PermissionDenied]: 403,
  [Code.ResourceExhausted]: 429,
  [Code.FailedPrecondition]: 400,
  [Code.Aborted]: 409,
  [Code.OutOfRange]: 400,
  [Code.Unimplemented]: 501,
  [Code.Internal]: 500,
  [Code.Unavailable]: 503,
  [Code.DataLoss]: 500,
  [Code.Unauthenticated]: 401,
};

/** Where HTTP has a word of its own. */
const statusOfFault: Partial<Record<FaultCode, number>> = {
  EVENTS_GONE: 410,
  GONE: 410,
  METHOD_NOT_ALLOWED: 405,
  PRECONDITION_FAILED: 412,
  REQUEST_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  RANGE_NOT_SATISFIABLE: 416,
  DIGEST_MISMATCH: 422,
  DISK_FULL: 507,
};

export function statusOf(problem: Fault): number {
  return statusOfFault[problem.code] ?? statusOfCode[problem.row.rpc];
}

/** A path of the contract (`page.page_size`, `node_ids[2]`) as JSON spells it (`page.pageSize`, `nodeIds[2]`); what is no such path stays as it is. */
const jsonPath = (path: string): string =>
  /^[a-z0-9_.[\]]+$/.test(path) ? path.replace(/(?<=[a-z0-9])_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()) : path;

/** INTERNAL leaves without its text: only the id under which the log has it. */
export function errorBody(problem: Fault, traceId: string): ErrorBody {
  const field = problem.field === undefined ? undefined : jsonPath(problem.field);
  // A message that quotes a megabyte of input helps nobody.
  const text = problem.code === "INTERNAL" ? problem.row.title : problem.message.slice(0, 2000).toWellFormed();
  const message = problem.field === undefined || field === undefined ? text : spelled(text, problem.field, field);
  return {
    error: {
      code: problem.code,
      message,
      hint: problem.hint,
      ...(field === undefined ? {} : { field }),
      traceId,
      ...(Object.keys(problem.details).length === 0 ? {} : { details: problem.details }),
    },
  };
}

/** The message speaks of the field as the sender has written it: whole, or by the last part of its path. */
function spelled(text: string, path: string, json: string): string {
  const last = (each: string): string => each.slice(each.lastIndexOf(".") + 1).replace(/\[.*$/, "");
  return [[path, json] as const, [last(path), last(json)] as const].reduce(
    (message, [from, to]) =>
      from === to ? message : message.replaceAll(new RegExp(`(?<![a-z0-9_])${from.replace(/[.[\]]/g, "\\$&")}(?![a-z0-9_])`, "g"), to),
    text,
  );
}

/** What a handler of ours threw, however it travelled. The RPC library's own refusals (a body that does not parse) get our codes. */
export function faultOf(caught: unknown): Fault {
  if (caught instanceof ConnectError) {
    if (caught.cause instanceof Fault) return caught.cause;
    if (caught.code === Code.ResourceExhausted && !caught.metadata.has("aether-code") && /size|larger/.test(caught.rawMessage)) {
      return new Fault("REQUEST_TOO_LARGE", caught.rawMessage, { cause: caught });
    }
  }
  return Fault.from(caught);
}
