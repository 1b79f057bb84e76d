import { defineConfig } from "vitest/config";

// Two projects: `unit` needs no root, no services and under 30 s; `e2e` needs what its files say and skips, with the reason, where that is missing.
export default defineConfig({
  test: {
    projects: [
      {
        resolve: { conditions: ["@source"] },
        ssr: { resolve: { conditions: ["@source"] } },
        test: { name: "unit", include: ["packages/*/src/**/*.test.ts", "scripts/**/*.test.mjs"], testTimeout: 10_000 },
      },
      {
        resolve: { conditions: ["@source"] },
        ssr: { resolve: { conditions: ["@source"] } },
        test: { name: "e2e", include: ["tests/**/*.test.ts"], testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false },
      },
    ],
  },
});
