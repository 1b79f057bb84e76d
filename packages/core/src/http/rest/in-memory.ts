// Calls our own handlers in memory, through the same gate and interceptors as over the network, with the HTTP request's origin.
import { fault } from "@aether/contract";
import type { ContextValues, Interceptor, Transport } from "@connectrpc/connect";
import { createAsyncIterable, type UniversalHandler } from "@connectrpc/connect/protocol";
import { createTransport } from "@connectrpc/connect/protocol-connect";
import { faultOf } from "../error-body.ts";

/** For a router of our own, without the gate: what a handler refuses arrives as the fault that it is. */
export const keepFaults: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (caught) {
    throw faultOf(caught).toConnectError("");
  }
};

/** A transport for one request. The library's own in-memory transport loses the context values. */
export function inMemoryTransport(handlers: ReadonlyMap<string, UniversalHandler>, contextValues: ContextValues): Transport {
  return createTransport({
    baseUrl: "https://in-memory",
    useBinaryFormat: true,
    interceptors: [],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: Number.MAX_SAFE_INTEGER,
    readMaxBytes: 0x7fffffff,
    writeMaxBytes: 0x7fffffff,
    async httpClient(request) {
      const handler = handlers.get(new URL(request.url).pathname);
      if (handler === undefined) throw fault("ROUTE_NOT_FOUND", `no handler for ${request.url}`);
      const response = await handler({
        body: request.body ?? createAsyncIterable([]),
        httpVersion: "2.0",
        method: request.method,
        url: request.url,
        header: request.header,
        signal: request.signal ?? new AbortController().signal,
        contextValues,
      });
      return {
        status: response.status,
        header: new Headers(response.header),
        body: (response.body ?? createAsyncIterable([])) as AsyncIterable<Uint8Array>,
        trailer: new Headers(response.trailer),
      };
    },
  });
}
