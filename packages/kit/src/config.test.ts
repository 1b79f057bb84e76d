import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { explainConfig, loadConfig } from "./config.ts";

const schema = z.strictObject({
  nodeName: z.string().default("here"),
  isQuiet: z.boolean().default(false),
  labels: z.array(z.string()).default([]),
  http: z.strictObject({ port: z.number().int().default(3000), host: z.string().default("127.0.0.1") }).prefault({}),
});
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-config-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

let count = 0;
async function load(yaml: string | undefined, environment: Record<string, string> = {}, overrides: Record<string, unknown> = {}) {
  const file = join(dir, `${count++}.yaml`);
  if (yaml !== undefined) await writeFile(file, yaml);
  return loadConfig(schema, { file: yaml === undefined ? undefined : file, prefix: "AETHER_TEST", environment, overrides });
}

describe("configuration", () => {
  it("comes from the file, then the environment, then the command line", async () => {
    expect(await load(undefined)).toEqual({ nodeName: "here", isQuiet: false, labels: [], http: { port: 3000, host: "127.0.0.1" } });
    expect(await load("")).toMatchObject({ nodeName: "here" });
    const yaml = "nodeName: file\nlabels: [a, b]\nhttp: {port: 1, host: file}\n";
    const environment = { AETHER_TEST_HTTP__PORT: "2", AETHER_TEST_IS_QUIET: "true", AETHER_OTHER_HTTP__PORT: "9", PATH: "/bin" };
    expect(await load(yaml, environment)).toEqual({
      nodeName: "file",
      isQuiet: true,
      labels: ["a", "b"],
      http: { port: 2, host: "file" },
    });
    const overrides = { http: { port: 3 }, nodeName: undefined };
    expect(await load(yaml, environment, overrides)).toMatchObject({ nodeName: "file", http: { port: 3, host: "file" } });
  });

  it("takes digits for a text where a text is wanted", async () => {
    const environment = { AETHER_TEST_NODE_NAME: "0012", AETHER_TEST_HTTP__HOST: "true", AETHER_TEST_HTTP__PORT: "80" };
    expect(await load(undefined, environment)).toMatchObject({ nodeName: "0012", http: { host: "true", port: 80 } });
  });

  it("does not take a text for anything else", async () => {
    await expect(load(undefined, { AETHER_TEST_HTTP__PORT: "many" })).rejects.toMatchObject({ field: "http.port" });
    await expect(load(undefined, { AETHER_TEST_IS_QUIET: "yes" })).rejects.toMatchObject({ field: "isQuiet" });
    await expect(load("nodeName: 12\n")).rejects.toMatchObject({ field: "nodeName" }); // a file can quote
  });

  it("names the key that is wrong, and where it came from", async () => {
    await expect(load("http: {port: x}\n")).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      field: "http.port",
      message: expect.stringMatching(/\.yaml: http\.port: /),
    });
    await expect(load("nodeName: x\n", { AETHER_TEST_HTTP__PORT: "1.5" })).rejects.toMatchObject({
      field: "http.port",
      message: expect.stringContaining("AETHER_TEST_HTTP__PORT"),
    });
  });

  it("refuses what it does not know, by its whole name", async () => {
    await expect(load("colour: red\n")).rejects.toMatchObject({ field: "colour", message: expect.stringContaining("no such key") });
    await expect(load("http: {prot: 1}\n")).rejects.toMatchObject({ field: "http.prot" });
    await expect(load(undefined, { AETHER_TEST_HTTP__PROT: "1" })).rejects.toMatchObject({
      field: "http.prot",
      message: expect.stringContaining("AETHER_TEST_HTTP__PROT"),
    });
  });

  it("refuses a file that cannot be read", async () => {
    await expect(load("a: [")).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(load("- a\n")).rejects.toMatchObject({ message: expect.stringContaining("mapping") });
    await expect(loadConfig(schema, { file: join(dir, "absent.yaml"), prefix: "X", environment: {} })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("absent.yaml"),
    });
  });
});

describe("an explained configuration", () => {
  const explained = z.strictObject({
    name: z.string().default("here"),
    token: z.string().meta({ isSecret: true }).optional(),
    tokenFile: z.string().optional(),
    list: z.array(z.string()).default([]),
    http: z.strictObject({ port: z.number().int().default(3000), host: z.string().default("127.0.0.1") }).prefault({}),
    server: z.strictObject({ host: z.string(), user: z.string() }).optional(),
  });

  it("has every key once, with its value and who says it, and no secret", async () => {
    const file = join(dir, "explained.yaml");
    await writeFile(file, "name: file\nhttp: {port: 1, host: file}\n");
    const environment = { AETHER_TEST_HTTP__PORT: "2", AETHER_TEST_TOKEN: "hunter2", AETHER_TEST_LIST: "a, b" };
    const entries = await explainConfig(explained, { file, prefix: "AETHER_TEST", environment, overrides: { name: "line" } });
    expect(entries).toEqual([
      { key: "name", value: "line", source: "command line" },
      { key: "token", value: "(secret)", source: "AETHER_TEST_TOKEN" },
      { key: "tokenFile", value: undefined, source: "default" },
      { key: "list", value: ["a", "b"], source: "AETHER_TEST_LIST" },
      { key: "http.port", value: 2, source: "AETHER_TEST_HTTP__PORT" },
      { key: "http.host", value: "file", source: file },
      { key: "server.host", value: undefined, source: "default" },
      { key: "server.user", value: undefined, source: "default" },
    ]);
  });

  it("is refused as the daemon would refuse it", async () => {
    const wrong = explainConfig(explained, { prefix: "AETHER_TEST", environment: { AETHER_TEST_NONSENSE: "1" } });
    await expect(wrong).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      field: "nonsense",
      message: expect.stringContaining("AETHER_TEST_NONSENSE"),
    });
    const half = explainConfig(explained, { prefix: "AETHER_TEST", environment: { AETHER_TEST_SERVER__HOST: "db" } });
    await expect(half).rejects.toMatchObject({ code: "CONFIG_INVALID", field: "server.user" });
  });
});
