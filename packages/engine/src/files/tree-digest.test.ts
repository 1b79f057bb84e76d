// Real trees on disk: two are equal exactly when their digests are, and what was hashed once is not read again.
import { execFileSync } from "node:child_process";
import { closeSync } from "node:fs";
import { chmod, cp, link, lstat, mkdir, mkdtemp, readdir, rename, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createTreeHasher, entriesOf, openEntry } from "./tree-digest.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-tree-"));
});
afterEach(() => rm(dir, { recursive: true }));

const digest = async (path: string, hasher = createTreeHasher()) => (await hasher.digest([{ name: "layer", path }])).digest;

/** A tree as a list of small acts; some of them fail on what earlier ones made, and then do nothing. */
const act = fc.oneof(
  fc.record({ kind: fc.constant("file" as const), name: fc.nat(7), text: fc.string({ maxLength: 12 }) }),
  fc.record({ kind: fc.constant("dir" as const), name: fc.nat(7), text: fc.constant("") }),
  fc.record({ kind: fc.constant("link" as const), name: fc.nat(7), text: fc.constantFrom("a", "../b", "/c") }),
  fc.record({ kind: fc.constant("hard" as const), name: fc.nat(7), text: fc.constantFrom("0", "1", "2") }),
  fc.record({ kind: fc.constant("mode" as const), name: fc.nat(7), text: fc.constantFrom("600", "644", "755") }),
);
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

async function build(root: string, acts: readonly Act[]): Promise<void> {
  await mkdir(root);
  for (const { kind, name, text } of acts) {
    const path = join(root, name > 4 ? `d${name % 2}/${name}` : String(name));
    const work =
      kind === "file" ? writeFile(path, text)
      : kind === "dir" ? mkdir(join(root, `d${name % 2}`))
      : kind === "link" ? symlink(text, path)
      : kind === "hard" ? link(join(root, text), path)
      : lstat(path).then((found) => (found.isSymbolicLink() ? undefined : chmod(path, Number.parseInt(text, 8) | 0o100))); // biome-ignore format: a table
    await work.catch(() => undefined);
  }
}

describe("the digest of a tree", () => {
  it("is the same for the same tree built again, and another one after any change", async () => {
    let round = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 14 }), fc.nat(), async (acts, pick) => {
        const [one, two] = [join(dir, `one${++round}`), join(dir, `two${round}`)];
        await build(one, acts);
        await build(two, acts);
        const before = await digest(one);
        expect(await digest(two)).toBe(before);
        const names = (await readdir(two, { recursive: true })).sort();
        const victim = join(two, names[pick % Math.max(1, names.length)] ?? ".");
        const found = await lstat(victim);
        if (found.isFile() && found.size > 0) await writeFile(victim, Buffer.alloc(found.size, 0x7f));
        else if (found.isFile()) await truncate(victim, 1);
        else if (found.isDirectory()) await writeFile(join(victim, "new"), "");
        else await rm(victim);
        expect(await digest(two)).not.toBe(before);
      }),
      { numRuns: 60 },
    );
  });

  it("tells one file with two names from two files, and knows nothing of times", async () => {
    const [one, two] = [join(dir, "one"), join(dir, "two")];
    await mkdir(one);
    await writeFile(join(one, "a"), "x");
    await link(join(one, "a"), join(one, "b"));
    await cp(one, two, { recursive: true });
    expect(await digest(one)).not.toBe(await digest(two));
    await rm(join(two, "b"));
    await link(join(two, "a"), join(two, "b"));
    await utimes(join(two, "a"), 1, 1);
    expect(await digest(one)).toBe(await digest(two));
  });

  it("covers a sparse file by what it reads as, and names that are no text", async () => {
    const root = join(dir, "odd");
    await mkdir(root);
    await writeFile(join(root, "sparse"), "");
    await truncate(join(root, "sparse"), 3_000_000);
    await writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x0a, 0x5c])]), "x");
    const { leaves, bytes } = await createTreeHasher().digest([{ name: "layer", path: root }]);
    expect(bytes).toBe(3_000_001);
    expect(leaves.map((leaf) => leaf.split(" ")[0])).toEqual(["layer/", "layer/\\xff\\x0a\\x5c", "layer/sparse"]);
  });

  it("reads a settled file once, and again when it has changed", async () => {
    const root = join(dir, "kept");
    await mkdir(root);
    await writeFile(join(root, "a"), "first");
    await new Promise((resolve) => setTimeout(resolve, 80)); // younger files are not trusted
    const hasher = createTreeHasher();
    const before = await digest(root, hasher);
    expect(await digest(root, hasher)).toBe(before);
    await writeFile(join(root, "a"), "other");
    expect(await digest(root, hasher)).not.toBe(before);
  });

  it("reads the very file that it looked at: no link, no pipe and no other file that took its place meanwhile", async () => {
    const root = join(dir, "hostile");
    await mkdir(join(root, "a"), { recursive: true });
    await writeFile(join(root, "a/shadow"), "mine");
    await mkdir(join(dir, "host"));
    await writeFile(join(dir, "host/shadow"), "secret of the host");
    const entry = (await entriesOf(root)).find(({ name }) => name === "a/shadow");
    if (entry === undefined) throw new Error("no entry");
    closeSync(openEntry(entry));
    await rename(join(root, "a"), join(root, "b"));
    await symlink(join(dir, "host"), join(root, "a"));
    expect(() => openEntry(entry)).toThrow(expect.objectContaining({ code: "ENOENT" }));
    await rm(join(root, "a"));
    await mkdir(join(root, "a"));
    execFileSync("mkfifo", [join(root, "a/shadow")]);
    expect(() => openEntry(entry)).toThrow(expect.objectContaining({ code: "ENOENT" })); // a plain open would wait for a writer
  });
});
