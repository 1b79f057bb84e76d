// The native program for arm64: compiled and linked here with the same warnings as errors. Nothing runs it: this machine has another processor.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

const compiler = "aarch64-linux-gnu-gcc";

function missing(): string | undefined {
  if (process.arch === "arm64") return "this machine compiles it for itself";
  try {
    execFileSync(compiler, ["--version"], { stdio: "ignore" });
    return undefined;
  } catch {
    return `${compiler} is not there (package gcc-aarch64-linux-gnu)`;
  }
}

const reason = missing();
const dir = mkdtempSync(join(tmpdir(), "aether-arm64-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe.skipIf(reason !== undefined)(`the native program for arm64${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  it("compiles without a warning into one static program", { timeout: 120_000 }, () => {
    const native = join(import.meta.dirname, "../../native");
    const program = join(dir, "aether-native");
    execFileSync("make", ["-j2", "-C", native, `CC=${compiler}`, `BUILD=${dir}`, program], { encoding: "utf8", stdio: "pipe" });
    const head = readFileSync(program).subarray(0, 64);
    expect(head.toString("latin1", 1, 4)).toBe("ELF");
    expect(head.readUInt16LE(18)).toBe(183); // EM_AARCH64
    const segments = execFileSync("aarch64-linux-gnu-readelf", ["-lW", program], { encoding: "utf8" });
    expect(segments).not.toContain("INTERP"); // nothing of the target's system is needed
  });
});
