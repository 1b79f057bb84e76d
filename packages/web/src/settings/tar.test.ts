import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readTar } from "./tar.ts";

it("reads what tar writes, long names and empty files too, and stops where an archive is cut", () => {
  const dir = mkdtempSync(join(tmpdir(), "aether-tar-"));
  try {
    const long = `${"d".repeat(90)}-${"e".repeat(5)}`;
    const contents = { "a.json": "{}", empty: "", [long]: "x".repeat(1000) };
    for (const [name, text] of Object.entries(contents)) writeFileSync(join(dir, name), text);
    const archive = new Uint8Array(execFileSync("tar", ["--format=ustar", "-cf", "-", "-C", dir, ...Object.keys(contents)]));
    const found = (bytes: Uint8Array<ArrayBuffer>) => readTar(bytes).map(({ name, data }) => [name, new TextDecoder().decode(data)]);
    expect(found(archive)).toEqual(Object.entries(contents));
    expect(found(archive.slice(0, 1024 + 512))).toEqual([
      ["a.json", "{}"],
      ["empty", ""],
    ]);
    expect(readTar(new Uint8Array(100))).toEqual([]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
