import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@aether/kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createKernelHelper } from "./helper.ts";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-helper-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A program that answers as `answer` (shell) says; $id and $verb are the question's. */
async function program(answer: string): Promise<string> {
  const path = join(dir, `helper-${Math.random().toString(36).slice(2)}`);
  await writeFile(path, `#!/bin/sh\nwhile read -r id verb rest; do ${answer}; done\n`);
  await chmod(path, 0o755);
  return path;
}

it("matches answers to questions by their number, and refuses with the reason", async () => {
  const path = await program(
    'case $verb in no) echo "{\\"id\\":$id,\\"error\\":\\"not here\\",\\"errno\\":2}";; *) echo "{\\"id\\":$id,\\"said\\":\\"$verb\\"}";; esac',
  );
  const helper = createKernelHelper(path, silentLogger);
  const answers = await Promise.all(["a", "b", "c"].map((verb) => helper.ask([verb])));
  expect(answers.map(({ said }) => said)).toEqual(["a", "b", "c"]);
  await expect(helper.ask(["no"])).rejects.toMatchObject({ code: "TOOL_FAILED", message: expect.stringContaining("not here") });
  helper.stop();
  await expect(helper.ask(["a"])).rejects.toMatchObject({ code: "TOOL_FAILED" });
});

it("fails a question when the program is not there, dies, talks nonsense or stays silent; nothing else happens", async () => {
  await expect(createKernelHelper(join(dir, "none"), silentLogger).ask(["a"])).rejects.toMatchObject({ code: "TOOL_MISSING" });
  const dying = createKernelHelper(await program("exit 3"), silentLogger);
  await expect(dying.ask(["a"])).rejects.toMatchObject({ code: "TOOL_FAILED" });
  await expect(dying.ask(["a"])).rejects.toMatchObject({ message: expect.stringContaining("started again soon") });
  const nonsense = createKernelHelper(await program("echo nonsense"), silentLogger);
  await expect(nonsense.ask(["a"])).rejects.toMatchObject({ code: "TOOL_FAILED" });
  const silent = createKernelHelper(await program("true"), silentLogger);
  await expect(silent.ask(["a"], 100)).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
  silent.stop();
});
