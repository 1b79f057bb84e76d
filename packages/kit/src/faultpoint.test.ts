import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { armFaultpoint, faultpoint, parseFaults } from "./faultpoint.ts";

afterEach(() => vi.unstubAllEnvs());

describe("fault points", () => {
  it("are read from one line", () => {
    expect(parseFaults("freeze.after_dump=kill,restore.before=delay:500,copy.half=error,a.b=stop")).toEqual([
      ["freeze.after_dump", { kind: "kill" }],
      ["restore.before", { kind: "delay", ms: 500 }],
      ["copy.half", { kind: "error" }],
      ["a.b", { kind: "stop" }],
    ]);
    expect(parseFaults("")).toEqual([]);
  });

  it.each(["freeze", "freeze=", "freeze=dance", "freeze=delay", "freeze=delay:x", "Freeze=kill", "=kill", "a=kill b=kill"])(
    "refuse %j",
    (text) => {
      expect(() => parseFaults(text)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID", field: "AETHER_FAULTS" }));
    },
  );

  it("are passed unless armed, and again after disarming", async () => {
    await faultpoint("test.here");
    const disarm = armFaultpoint("test.here", { kind: "error" });
    await expect(faultpoint("test.here")).rejects.toThrow("fault point test.here");
    await faultpoint("test.there");
    disarm();
    await faultpoint("test.here");
  });

  it("wait as long as they are told", async () => {
    const disarm = armFaultpoint("test.slow", { kind: "delay", ms: 60 });
    const startedMs = performance.now();
    await faultpoint("test.slow");
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(58);
    disarm();
  });

  it("fire once for ever where a folder remembers them", async () => {
    const dir = mkdtempSync(join(tmpdir(), "aether-faults-"));
    vi.stubEnv("AETHER_FAULTS_DIR", dir);
    const disarm = armFaultpoint("test.once", { kind: "error" });
    await expect(faultpoint("test.once")).rejects.toThrow();
    await faultpoint("test.once");
    expect(readdirSync(dir)).toEqual(["test.once"]);
    disarm();
    rmSync(dir, { recursive: true });
  });

  it("kill the very process, once for ever, when the environment arms them", () => {
    const dir = mkdtempSync(join(tmpdir(), "aether-faults-"));
    const module = new URL("./faultpoint.ts", import.meta.url).href;
    const source = `const { faultpoint } = await import(${JSON.stringify(module)});
      console.log("before");
      await faultpoint("test.kill");
      console.log("after");`;
    const flags = ["--conditions=@source", "--experimental-transform-types", "--no-warnings", "--input-type=module"];
    const env = { ...process.env, AETHER_FAULTS: "test.kill=kill", AETHER_FAULTS_DIR: dir };
    const start = () => spawnSync(process.execPath, [...flags, "--eval", source], { encoding: "utf8", env });
    const [first, second] = [start(), start()];
    rmSync(dir, { recursive: true });
    expect([first.stdout, first.signal]).toEqual(["before\n", "SIGKILL"]);
    expect([second.stdout, second.status]).toEqual(["before\nafter\n", 0]);
  });
});
