// How the control plane is put together: parts made by plain factory calls in core.ts, each given only what it needs.
import type { Stoppable } from "@aether/kit";
import type { ConnectRouter } from "@connectrpc/connect";

/** Something that serves RPCs, works in the background, or both. */
export interface Part extends Partial<Stoppable> {
  /** Adds its services to the one router that serves gRPC, gRPC-web, Connect and REST alike. */
  routes?(router: ConnectRouter): void;
  /** Begins its background work and returns when it is under way; ends with the signal or `stop`. */
  start?(signal: AbortSignal): Promise<void>;
}
