// One build, no development server of its own: `npm run build:web`, then reload the page of a running control plane.
import tailwindcss from "@tailwindcss/vite";
import { defaultClientConditions, defineConfig } from "vite";
import { leanContract } from "./build/lean-contract.ts";

export default defineConfig({
  plugins: [tailwindcss(), leanContract()],
  // The contract's sources, so that nothing must be built before the page.
  resolve: { conditions: ["@source", ...defaultClientConditions] },
  build: {
    target: "es2023",
    // The content security policy allows no data: for scripts and fonts, and small files cost nothing on a kept connection.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      // Marks for servers that render pages; this one does not.
      checks: { moduleLevelDirective: false },
      output: {
        codeSplitting: {
          // Two files for the first view, and what only some pages need is in neither: each file more costs what compression cannot share.
          groups: [
            { name: "vendor", test: /node_modules/, tags: ["$initial"] },
            { name: "first", tags: ["$initial"] },
          ],
        },
      },
    },
  },
});
