#!/usr/bin/env node
// @ts-check
// `npm run release:contract`: keeps the descriptor set of the version in package.json in proto/released/, which no later contract may break.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
/** @type {{ version: string }} */
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const file = `proto/released/${version}.binpb`;
if (existsSync(join(root, file))) {
  console.error(`${file} is there already: a release never changes. Raise the version first.`);
  process.exitCode = 1;
} else {
  const { status } = spawnSync(join(root, "node_modules/.bin/buf"), ["build", "--exclude-source-info", "-o", file], {
    cwd: root,
    stdio: "inherit",
  });
  process.exitCode = status ?? 1;
  if (status === 0) console.log(`${file} is written: commit it with the release.`);
}
