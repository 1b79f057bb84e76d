import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openSpool } from "./spool.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-spool-"));
});
afterEach(() => rm(dir, { recursive: true }));

const bytes = (count: number) => new Uint8Array(count);

it("what is kept for convenience makes room for what is on its way; what does not fit is refused with the key to raise", async () => {
  const spool = openSpool(dir, 1000);
  const make = (name: string, count: number) => spool.make(name, (write) => write(bytes(count)));
  await make("old", 400);
  await new Promise((resolve) => setTimeout(resolve, 10));
  await make("new", 400);
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(await spool.find("old")).toBeDefined(); // and so it is the younger one now
  const upload = await spool.extend("up");
  await upload.write(bytes(300));
  expect([await spool.find("new"), (await spool.find("old"))?.bytes]).toEqual([undefined, 400]);
  await upload.write(bytes(500));
  expect(await spool.find("old")).toBeUndefined();
  // What somebody sends is never thrown away for somebody else.
  const refused = expect.objectContaining({ code: "DISK_FULL", hint: expect.stringContaining("snapshots.spoolGigabytes") });
  await expect(upload.write(bytes(300))).rejects.toEqual(refused);
  await expect(make("more", 900)).rejects.toEqual(refused);
  await upload.close();
  expect(await spool.received("up")).toBe(800);
  await spool.drop(spool.uploadPath("up"));
  expect((await make("more", 900)).bytes).toBe(900);
});
