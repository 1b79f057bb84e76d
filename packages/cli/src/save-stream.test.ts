import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { saveStream } from "./save-stream.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-save-"));
});
afterEach(() => rm(dir, { recursive: true }));

async function* chunks(count: number, failure?: Error) {
  for (let i = 0; i < count; i++) yield { data: new Uint8Array(100_000).fill(i), part: "p", partsDone: i, partsTotal: count };
  if (failure) throw failure;
}

describe("a stream that is saved", () => {
  it("is a file of its owner's when it is whole", async () => {
    const file = join(dir, "out");
    expect(await saveStream(file, chunks(30), () => undefined)).toBe(3_000_000);
    expect((await readFile(file))[2_950_000]).toBe(29);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(dir)).toEqual(["out"]);
  });

  it("is nothing at all when it breaks, or has no place", async () => {
    await expect(saveStream(join(dir, "out"), chunks(30, new Error("cut off")), () => undefined)).rejects.toThrow("cut off");
    // The place is looked at while the first bytes are still waited for.
    await expect(saveStream(join(dir, "no/such/folder"), chunks(30), () => undefined)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("no/such/folder cannot be written"),
    });
    await mkdir(join(dir, "taken"));
    await expect(saveStream(join(dir, "taken"), chunks(1), () => undefined)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(await readdir(dir)).toEqual(["taken"]);
  });
});
