#!/usr/bin/env node
// @ts-check
// Two changes that land at the same time may give their schema files one number, and core would not start: found by the checks instead.
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const names = readdirSync(fileURLToPath(new URL("../../packages/core/sql/", import.meta.url))).sort();
const wrong = names.filter((name, i) => !/^\d{4}_[a-z_]+\.sql$/.test(name) || Number(name.slice(0, 4)) !== i + 1);
if (wrong.length > 0) {
  console.error(`packages/core/sql: numbers must go on without gaps and twins, and these do not: ${wrong.join(", ")}`);
  process.exitCode = 1;
}
