// @ts-check
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { withLock } from "./lock.mjs";
import { findCommand } from "./machine.mjs";

const folder = mkdtempSync(join(tmpdir(), "aether-lock-"));
const signal = new AbortController().signal;
afterAll(() => rmSync(folder, { recursive: true }));

it.skipIf(findCommand("flock") === undefined)("lets one in at a time", async () => {
  const path = join(folder, "a/b.lock");
  let inside = 0;
  let most = 0;
  const enter = () =>
    withLock(path, signal, async () => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setTimeout(resolve, 30));
      inside--;
    });
  await Promise.all([enter(), enter(), enter()]);
  expect(most).toBe(1);
});

it.skipIf(findCommand("flock") === undefined)("is free again after its holder was killed", async () => {
  const path = join(folder, "killed.lock");
  const script = `import { withLock } from ${JSON.stringify(new URL("./lock.mjs", import.meta.url).href)};
    await withLock(${JSON.stringify(path)}, new AbortController().signal, () => { console.log("held"); return new Promise((r) => setTimeout(r, 60000)); });`;
  const holder = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  await once(holder.stdout, "data");
  /** @type {string[]} */
  const order = [];
  const waiting = withLock(path, signal, async () => void order.push("entered"));
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(order).toEqual([]);
  holder.kill("SIGKILL");
  await waiting;
  expect(order).toEqual(["entered"]);
});
