import { defineConfig } from "vitest/config";
import { postgresIsMissing } from "./packages/core/src/testing/postgres-programs.ts";

// Five projects. `unit`: no root, no services, under 30 s. `service`: a whole control plane or agent inside the test, with its database, its TLS and its
// clocks; no root either, but seconds each. `postgres`: those of them that speak to a database, on a server of their own instead of the embedded one,
// where this machine has one (packages/core/src/db/postgres.test.ts says why not). `api`: what crosses packages and
// needs no namespaces, two files at a time: the control plane in a browser, against its own OpenAPI document, with a bucket. `e2e`: real moves, one file at a time.
// Both skip, with the reason, where what they need is missing.
const wholeServices = [
  "packages/agent/src/agent.test.ts",
  "packages/core/src/access/sign-in.test.ts",
  "packages/core/src/certificate/certificates.test.ts",
  "packages/core/src/certificate/probes.test.ts",
  "packages/core/src/artifact/artifact.test.ts",
  "packages/core/src/audit/act.test.ts",
  "packages/core/src/core.test.ts",
  "packages/core/src/db/*.test.ts",
  "packages/core/src/decision/decisions.test.ts",
  "packages/core/src/drill/drills.test.ts",
  "packages/core/src/drill/kinds.test.ts",
  "packages/core/src/drill/schedules.test.ts",
  "packages/core/src/fleet/monitor.test.ts",
  "packages/core/src/guard/guards.test.ts",
  "packages/core/src/http/fuzz.test.ts",
  "packages/core/src/http/limits.test.ts",
  "packages/core/src/http/rules.test.ts",
  "packages/core/src/http/v1/v1.test.ts",
  "packages/core/src/identity/identity.test.ts",
  "packages/core/src/leader/leadership.test.ts",
  "packages/core/src/migration/database-loss.test.ts",
  "packages/core/src/migration/reconcile.test.ts",
  "packages/core/src/risk/risk.test.ts",
  "packages/core/src/signals/feeds/feeds.test.ts",
  "packages/core/src/prices/*.test.ts",
  "packages/core/src/ops/ops.test.ts",
  "packages/core/src/policy/service.test.ts",
  "packages/core/src/reflex/reflex.test.ts",
  "packages/core/src/runbook/runs.test.ts",
  "packages/core/src/snapshot/revive.test.ts",
  "packages/core/src/telemetry/telemetry.test.ts",
  "packages/core/src/migration/settle.test.ts",
  "packages/kit/src/identity/rotate.test.ts",
];
const onBothEngines = [
  "packages/core/src/core.test.ts",
  "packages/core/src/db/ledger.test.ts",
  "packages/core/src/db/vacuum.test.ts",
  "packages/core/src/decision/decisions.test.ts",
  "packages/core/src/fleet/monitor.test.ts",
  "packages/core/src/migration/reconcile.test.ts",
  "packages/core/src/risk/risk.test.ts",
  "packages/core/src/signals/feeds/feeds.test.ts",
  "packages/core/src/prices/*.test.ts",
  "packages/core/src/telemetry/telemetry.test.ts",
];
const withoutCloud = [
  "tests/api/*.test.ts",
  "tests/backtest/*.test.ts",
  "tests/store/*.test.ts",
  "tests/browser/{dashboard,many-nodes,oidc,reference,two-cores,writing}.test.ts",
];
const source = { resolve: { conditions: ["@source"] }, ssr: { resolve: { conditions: ["@source"] } } };

export default defineConfig({
  test: {
    projects: [
      {
        ...source,
        test: {
          name: "unit",
          include: ["packages/*/src/**/*.test.ts", "scripts/**/*.test.mjs", "bench/**/*.test.ts"],
          exclude: wholeServices,
          testTimeout: 15_000,
          // Most of their time is waiting and reading modules: files side by side, in processes that keep what they have read. No unit test changes a module.
          isolate: false,
          maxWorkers: 3,
        },
      },
      // Two at a time: each has its own database, ports and folders, and most of their time is waiting for a lease, a sweep, a lost node.
      { ...source, test: { name: "service", include: wholeServices, testTimeout: 60_000, hookTimeout: 60_000, maxWorkers: 2 } },
      {
        ...source,
        test: {
          name: "postgres",
          include: postgresIsMissing === undefined ? onBothEngines : [],
          env: { AETHER_TEST_DATABASE: "postgres" },
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
      {
        ...source,
        test: { name: "api", include: withoutCloud, testTimeout: 120_000, hookTimeout: 120_000, maxWorkers: 2 },
      },
      {
        ...source,
        test: {
          name: "e2e",
          include: ["tests/**/*.test.ts"],
          exclude: withoutCloud,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
