#!/usr/bin/env node
// @ts-check
// `npm run reference`: writes docs/reference/configuration.md from the schemas of both daemons, which it finds built. A test says when it is to be run.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** @param {string} name of a package */
const built = (name) => import(new URL(`../packages/${name}/dist/index.js`, import.meta.url).href);
const [{ explainConfig }, { coreConfig }, { agentConfigSchema }] = await Promise.all(["kit", "core", "agent"].map(built));

/** @param {string} key http.port is HTTP__PORT */
const inVariable = (key) =>
  key
    .split(".")
    .map((part) => part.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase())
    .join("__");

/** @param {unknown} schema @param {string} prefix @param {Record<string, string>} required the least that it demands */
async function table(schema, prefix, required) {
  const entries = await explainConfig(schema, { prefix, environment: {}, overrides: required });
  const rows = entries.map(
    (/** @type {{ key: string, value: unknown, source: string, meaning?: string }} */ { key, value, source, meaning = "" }) => {
      const shown = value === undefined ? "" : `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;
      return `| \`${key}\` | ${source === "command line" ? "required" : shown} | ${meaning.replaceAll("|", "\\|")} | \`${prefix}_${inVariable(key)}\` |`;
    },
  );
  return ["| key | default | meaning | variable |", "|---|---|---|---|", ...rows].join("\n");
}

const page = `# Configuration
Both daemons read one schema: a YAML file (\`--config\`), then variables, then what the command line gives. \`aether config core --config FILE\` and \`aether config agent\` print every value with
where it comes from, and end with 1 and the key at fault if the daemon would refuse it; \`--set\` leaves the defaults out, \`--json\` is for programs.

- A variable is the prefix and the key in upper case, words with \`_\`, levels with \`__\`. Lists have commas.
- An unknown key, in the file or as a variable with the prefix, is refused and named. So is a half of what belongs together: \`database\` needs host, name and user.
- Secrets are read from files that the keys ending in \`File\` name; \`joinToken\` is the exception, for one-line installations, and is covered wherever values are shown.
- The meanings are those of the schema, which also has the limits: [core](../../packages/core/src/config.ts), [agent](../../packages/agent/src/config.ts).

## aether core
${await table(coreConfig, "AETHER_CORE", { dataDir: "/var/lib/aether" })}

## aether agent
${await table(agentConfigSchema, "AETHER_AGENT", { coreAddress: "core:3443" })}
`;
writeFileSync(fileURLToPath(new URL("../docs/reference/configuration.md", import.meta.url)), page);
