// How a v1 route reaches the one control plane: by the same RPCs as everybody, through the same gate. There is no second brain here.

import { fault } from "@aether/contract";
import type { DescMethodServerStreaming, DescMethodUnary, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { z } from "zod";

export interface V1Call {
  /** The request's body, or its query for a GET. */
  readonly input: unknown;
  /** Calls an RPC as the caller. */
  rpc<Method extends DescMethodUnary>(
    method: Method,
    message: MessageInitShape<Method["input"]>,
  ): Promise<{ readonly message: MessageShape<Method["output"]> }>;
}

export interface V1Answer {
  readonly status: number;
  readonly body: unknown;
}

export interface V1Route {
  readonly verb: "GET" | "POST";
  /** Below /api/v1. */
  readonly path: string;
  /** What to use now, for the page and for the Link header. */
  readonly replacedBy: string;
  /** Why it is not served; absent for a route that is. */
  readonly gone?: string;
  readonly serve?: (call: V1Call) => Promise<V1Answer>;
  /** Answers a file: a method with the option raw_response, and its request. */
  readonly download?: (input: unknown) => { readonly method: DescMethodServerStreaming; readonly message: Message };
}

/** Parses what came. Throws INVALID_ARGUMENT naming the field. */
export function parse<Schema extends z.ZodType>(schema: Schema, input: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const unknown = issue?.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : [];
  const field = [...(issue?.path ?? []), ...unknown].join(".");
  throw fault("INVALID_ARGUMENT", `${field || "the body"}: ${issue?.message ?? "not valid"}`, field === "" ? {} : { field });
}
