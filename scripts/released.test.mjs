// @ts-check
// The contract against every release of it: what a client of then sends and reads must mean the same now. `npm run release:contract` adds the one of today.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const released = readdirSync(join(root, "proto/released")).filter((name) => name.endsWith(".binpb"));
const dir = mkdtempSync(join(tmpdir(), "aether-contract-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** @param {readonly string[]} args */
const buf = (args) => spawnSync(join(root, "node_modules/.bin/buf"), args, { cwd: root, encoding: "utf8", timeout: 60_000 });

describe("the contract", () => {
  it("has a release to be held against", () => {
    expect(released.length).toBeGreaterThan(0);
  });

  it.each(released)("breaks nobody who speaks %s", (name) => {
    const { status, stdout, stderr } = buf(["breaking", "--against", join("proto/released", name)]);
    expect(stdout + stderr).toBe("");
    expect(status).toBe(0);
  });

  it("would be found out: a field that is gone breaks", () => {
    const old = join("proto/released", released[0] ?? "");
    const image = join(dir, "without.binpb");
    // An image of one file only lacks all the others.
    expect(buf(["build", old, "--path", "aether/v2/options.proto", "-o", image]).status).toBe(0);
    expect(buf(["breaking", image, "--against", old]).status).toBe(100);
  });
});
