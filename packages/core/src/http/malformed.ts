// Bytes that are no message are the client's mistake. The RPC library answers them as "internal" (HTTP 500) before any handler of ours is reached; what comes
// from our own gate and interceptors carries `aether-code`, so an internal error without it can only be that. Here it becomes INVALID_ARGUMENT.
import { fault } from "@aether/contract";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";

/** The same routes, with such answers mended, for whatever protocol. */
export const mendMalformed =
  (routes: (router: ConnectRouter) => void) =>
  (router: ConnectRouter): void => {
    routes(router);
    for (const [i, handler] of router.handlers.entries()) router.handlers[i] = mended(handler);
  };

function mended(handler: UniversalHandler): UniversalHandler {
  const around = async (request: Parameters<UniversalHandler>[0]): Promise<UniversalServerResponse> => {
    const response = await handler(request);
    const headers = new Headers(response.header);
    // Connect, unary: the error is the body.
    if (response.status === 500 && !headers.has("aether-code")) return { ...response, ...(await asInvalid(response)) };
    // gRPC: the error is in the trailers, which are filled when the body has ended; or in the headers, where there is no body.
    if (mendGrpc(headers)) return { ...response, header: headers };
    const { body, trailer } = response;
    if (trailer === undefined || body === undefined || body instanceof Uint8Array) return response;
    const ended = new Headers();
    return { ...response, body: through(body, () => copy(new Headers(trailer), ended)), trailer: ended };
  };
  return Object.assign(around, handler);
}

async function asInvalid({ body, header }: UniversalServerResponse): Promise<Pick<UniversalServerResponse, "status" | "header" | "body">> {
  const chunks: Uint8Array[] = [];
  if (body instanceof Uint8Array) chunks.push(body);
  else for await (const chunk of body ?? []) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString("utf8");
  const problem = fault("INVALID_ARGUMENT", messageIn(text)).toConnectError();
  const headers = new Headers(header);
  for (const [name, value] of problem.metadata) headers.set(name, value);
  const json = Buffer.from(JSON.stringify({ code: "invalid_argument", message: problem.rawMessage }));
  headers.delete("content-length");
  return { status: 400, header: headers, body: one(json) };
}

function messageIn(text: string): string {
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === "object" && json !== null && "message" in json && typeof json.message === "string") return json.message;
  } catch {
    // Not JSON: nothing that could be told on.
  }
  return "the request cannot be read";
}

/** Whether there was something to mend. */
function mendGrpc(headers: Headers): boolean {
  if (headers.get("grpc-status") !== String(Code.Internal) || headers.has("aether-code")) return false;
  headers.set("grpc-status", String(Code.InvalidArgument));
  headers.set("aether-code", "INVALID_ARGUMENT");
  headers.delete("grpc-status-details-bin");
  return true;
}

function copy(from: Headers, into: Headers): void {
  mendGrpc(from);
  for (const [name, value] of from) into.set(name, value);
}

async function* through(body: AsyncIterable<Uint8Array>, end: () => void): AsyncGenerator<Uint8Array> {
  yield* body;
  end();
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
