// Moves as a part of the control plane: the reconciler and its service.
import type { Part } from "../part.ts";
import { createReconciler, type Reconciler, type ReconcilerOptions } from "./reconcile.ts";
import { addMigrationRoutes } from "./service.ts";

export interface Migrations extends Part {
  readonly reconciler: Reconciler;
}

export function createMigrations(options: ReconcilerOptions): Migrations {
  const reconciler = createReconciler(options);
  return {
    reconciler,
    routes: (router) => addMigrationRoutes(router, { ...options, reconciler }),
    start: (signal) => reconciler.start(signal),
    stop: () => reconciler.stop(),
  };
}
