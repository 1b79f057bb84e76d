// How a v1 route reaches the one control plane: by the same RPCs as everybody, through the same gate. There is no second brain here.

import { fault } from "@aether/contract";
import type { UploadArtifactRequestSchema, UploadArtifactResponseSchema } from "@aether/contract/gen/aether/v2/artifact_pb";
import type {
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  Message,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { z } from "zod";

export interface V1Call {
  /** The request's body, or its query for a GET. */
  readonly input: unknown;
  /** What the path names. */
  readonly params: Readonly<Record<string, string>>;
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
  readonly serve?: (call: V1Call) => Promise<V1Answer>;
  /** Answers a file: a method with the option raw_response, and its request. */
  readonly download?: (call: V1Call) => Promise<{ readonly method: DescMethodServerStreaming; readonly message: Message }>;
  /** Takes the first file of a form: what its method is told before and after the bytes, and its answer in v1's words. */
  readonly upload?: V1Upload;
}

export interface V1Upload {
  readonly method: DescMethodClientStreaming<typeof UploadArtifactRequestSchema, typeof UploadArtifactResponseSchema>;
  first(params: Readonly<Record<string, string>>): MessageInitShape<typeof UploadArtifactRequestSchema>;
  last(sha256: string): MessageInitShape<typeof UploadArtifactRequestSchema>;
  answer(message: MessageShape<typeof UploadArtifactResponseSchema>): V1Answer;
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
