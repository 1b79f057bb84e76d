// Moves as a part of the control plane: the reconciler and its service.
import type { IdentitySource } from "@aether/kit/identity";
import type { RailLimits } from "../guard/rails.ts";
import type { Part } from "../part.ts";
import { createReconciler, type Reconciler, type ReconcilerOptions } from "./reconcile.ts";
import { addMigrationRoutes } from "./service.ts";
import { createSettler } from "./settle.ts";

export interface Migrations extends Part {
  readonly reconciler: Reconciler;
}

export function createMigrations(
  options: ReconcilerOptions & { readonly limits: RailLimits; readonly identity: IdentitySource },
): Migrations {
  const reconciler = createReconciler(options);
  const settler = createSettler({ ...options, payDebts: (nodeId) => reconciler.payDebts(nodeId) });
  return {
    reconciler,
    routes: (router) => addMigrationRoutes(router, { ...options, reconciler, settler }),
    async start(signal) {
      await reconciler.start(signal);
      await settler.start?.(signal);
    },
    async stop() {
      await settler.stop?.();
      await reconciler.stop();
    },
  };
}
