// The configuration's reference is what the schemas have: a key that is added is documented, one that is gone is not. `npm run reference` writes it.
import { readFileSync } from "node:fs";
import { agentConfigSchema } from "@aether/agent";
import { coreConfig } from "@aether/core";
import { explainConfig } from "@aether/kit";
import { expect, it } from "vitest";

const page = readFileSync(new URL("../../../../docs/reference/configuration.md", import.meta.url), "utf8");
const [, core = "", agent = ""] = page.split(/^## aether .*$/m);
const documented = (text: string) => [...text.matchAll(/^\| `([^`]+)` \|/gm)].map(([, key]) => key);

it.each([
  ["core", core, coreConfig, { dataDir: "/d" }],
  ["agent", agent, agentConfigSchema, { coreAddress: "c:1" }],
] as const)("documents each key of %s, and no other", async (_, text, schema, overrides) => {
  const entries = await explainConfig(schema, { prefix: "AETHER_NONE", environment: {}, overrides });
  expect(documented(text)).toEqual(entries.map(({ key }) => key));
  expect(entries.filter(({ meaning = "" }) => meaning === "").map(({ key }) => key)).toEqual([]);
  for (const { key, meaning = "" } of entries) expect(text, key).toContain(meaning.replaceAll("|", "\\|"));
});
