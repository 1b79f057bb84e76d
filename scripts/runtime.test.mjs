// @ts-check
import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it } from "vitest";
import { runInPlace } from "../packages/cli/bin/runtime.mjs";

const node = process.execPath;

it("ends with the code of the program it ran", async () => {
  expect(await runInPlace(node, ["-e", "process.exit(4)"])).toBe(4);
});

it("ends with 128 + N when signal N ended it", async () => {
  expect(await runInPlace(node, ["-e", "process.kill(process.pid, 'SIGKILL')"])).toBe(137);
});

it("hands a signal on, and waits for what the program makes of it", async () => {
  const program = `process.on("SIGTERM", () => setTimeout(() => process.exit(9), 50)); setInterval(() => {}, 1000); console.log("ready")`;
  const script = `import { runInPlace } from ${JSON.stringify(new URL("../packages/cli/bin/runtime.mjs", import.meta.url).href)};
    process.exitCode = await runInPlace(${JSON.stringify(node)}, ["-e", ${JSON.stringify(program)}]);`;
  const outer = spawn(node, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  await once(outer.stdout, "data");
  outer.kill("SIGTERM");
  const [code] = await once(outer, "exit");
  expect(code).toBe(9);
});

it("says when there is no such program", async () => {
  await expect(runInPlace("/nowhere/node", [])).rejects.toThrow("ENOENT");
});
