// The options that every way in shares: one gate, one row of interceptors, one limit.
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import type { Gate } from "../access/gate.ts";

export interface RpcOptions {
  readonly routes: (router: ConnectRouter) => void;
  readonly requestGate: Gate;
  /** The first is the outermost. */
  readonly interceptors: Interceptor[];
  /** Ends streams when the control plane stops. */
  readonly shutdownSignal: AbortSignal;
}

/** Of a request, in bytes. */
export const bodyLimitBytes = 1 << 20;
