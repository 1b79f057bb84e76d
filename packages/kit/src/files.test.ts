import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makePrivateDir, readTextIfThere, readTextNow, writeFileAtomic, writeFileAtomicNow } from "./files.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-files-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe("writeFileAtomic", () => {
  it("makes the folder, keeps others out, replaces what is there, and leaves nothing beside it", async () => {
    const path = join(dir, "a/b/file");
    await writeFileAtomic(path, "one");
    await writeFileAtomic(path, new TextEncoder().encode("two"));
    expect(await readFile(path, "utf8")).toBe("two");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(join(dir, "a/b"))).toEqual(["file"]);
    await writeFileAtomic(join(dir, "public"), "", 0o644);
    expect((await stat(join(dir, "public"))).mode & 0o777).toBe(0o644);
  });

  it("never shows half of a file, however many write at once", async () => {
    const path = join(dir, "file");
    const texts = Array.from({ length: 20 }, (_, index) => String(index).repeat(50_000));
    await writeFileAtomic(path, texts[0]!);
    let isWriting = true;
    const reader = (async () => {
      const known = new Set(texts);
      let reads = 0;
      for (; isWriting; reads++) expect(known.has(await readFile(path, "utf8"))).toBe(true);
      return reads;
    })();
    await Promise.all(texts.map((text) => writeFileAtomic(path, text)));
    isWriting = false;
    expect(await reader).toBeGreaterThan(0);
    expect(await readdir(dir)).toEqual(["file"]);
  });

  it("does the same without the disk", async () => {
    const path = join(dir, "a/file");
    writeFileAtomicNow(path, "one");
    writeFileAtomicNow(path, "two");
    expect(await readFile(path, "utf8")).toBe("two");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(join(dir, "a"))).toEqual(["file"]);
    await mkdir(join(dir, "b/inside"), { recursive: true });
    expect(() => writeFileAtomicNow(join(dir, "b"), "x")).toThrow(expect.objectContaining({ code: "EISDIR" }));
    expect(await readdir(dir)).toEqual(["a", "b"]);
  });

  it("cleans up when it cannot replace", async () => {
    await mkdir(join(dir, "taken/inside"), { recursive: true });
    await expect(writeFileAtomic(join(dir, "taken"), "x")).rejects.toMatchObject({ code: "EISDIR" });
    expect(await readdir(dir)).toEqual(["taken"]);
    await writeFile(join(dir, "plain"), "");
    await expect(writeFileAtomic(join(dir, "plain/below"), "x")).rejects.toThrow();
  });
});

describe.each([["readTextIfThere", readTextIfThere] as const, ["readTextNow", async (path: string) => readTextNow(path)] as const])(
  "%s",
  (_, read) => {
    it("tells nothing from empty, and from an error", async () => {
      await writeFile(join(dir, "empty"), "");
      expect(await read(join(dir, "empty"))).toBe("");
      expect(await read(join(dir, "absent"))).toBeUndefined();
      expect(await read(join(dir, "empty/below"))).toBeUndefined();
      await expect(read(dir)).rejects.toMatchObject({ code: "EISDIR" });
    });
  },
);

describe("makePrivateDir", () => {
  it("keeps what is ours, closes it, and moves what is not out of the way", async () => {
    const [path, other] = [join(dir, "known"), join(dir, "other")];
    await makePrivateDir(path);
    await writeFile(join(path, "kept"), "");
    await chmod(path, 0o777);
    await makePrivateDir(path);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect(await readdir(path)).toEqual(["kept"]);
    await rm(path, { recursive: true });
    await mkdir(other);
    await symlink(other, path);
    await makePrivateDir(path);
    expect((await lstat(path)).isDirectory()).toBe(true);
    expect(await readdir(other)).toEqual([]);
    expect((await readdir(dir)).filter((name) => name.endsWith(".not-ours"))).toHaveLength(1);
  });
});
