import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "@aether/kit";
import { describe, expect, it } from "vitest";
import { agentConfigSchema, chooseNodeId, findLinkAddress, findTools } from "./config.ts";
import { parseAddress } from "./link/enrol.ts";

const load = (overrides: Record<string, unknown>, environment: Record<string, string> = {}) =>
  loadConfig(agentConfigSchema, { prefix: "AETHER_AGENT", environment, overrides });

describe("the agent's configuration", () => {
  it("needs nothing but the control plane's address", async () => {
    expect(await load({ coreAddress: "core.example:3443" })).toMatchObject({
      stateDir: "/var/lib/aether/agent",
      linkPort: 3444,
      imds: { enabled: "auto", endpoint: "http://169.254.169.254" },
      tools: {},
    });
  });

  it("takes a file, and the environment over it", async () => {
    const dir = await mkdtemp(join(tmpdir(), "aether-agent-config-"));
    const file = join(dir, "agent.yaml");
    await writeFile(file, "coreAddress: 10.0.0.1:3443\nimds:\n  enabled: false\n  intervalMs: 500\nlinkPort: 1\n");
    const environment = { AETHER_AGENT_LINK_PORT: "0", AETHER_AGENT_IMDS__INTERVAL_MS: "200", AETHER_AGENT_TOOLS__CRIU: "/x/criu" };
    const config = await loadConfig(agentConfigSchema, { file, prefix: "AETHER_AGENT", environment });
    expect(config).toMatchObject({ linkPort: 0, imds: { enabled: false, intervalMs: 200 }, tools: { criu: "/x/criu" } });
    await rm(dir, { recursive: true });
  });

  it.each([
    [{}, "coreAddress"],
    [{ coreAddress: "http://x:1" }, "coreAddress"],
    [{ coreAddress: "x:1", nodeId: "Not A Label" }, "nodeId"],
    [{ coreAddress: "x:1", stateDir: "relative" }, "stateDir"],
    [{ coreAddress: "x:1", imds: { endpoint: "https://x" } }, "imds.endpoint"],
    [{ coreAddress: "x:1", tools: { criu: "criu" } }, "tools.criu"],
    [{ coreAddress: "x:1", hostInterface: "eth0; reboot" }, "hostInterface"],
    [{ coreAddress: "x:1", colour: "red" }, "colour"],
  ])("refuses %j, naming the key", async (overrides, field) => {
    await expect(load(overrides)).rejects.toMatchObject({ code: "CONFIG_INVALID", field });
  });

  it("names the node by what is known", () => {
    expect(chooseNodeId("n1", "i-0abc", "host")).toBe("n1");
    expect(chooseNodeId(undefined, "i-0abc", "host")).toBe("i-0abc");
    expect(chooseNodeId(undefined, undefined, "Web_01.example.org")).toBe("web-01");
    expect(() => chooseNodeId(undefined, undefined, "___")).toThrowError(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });

  it("splits the address, IPv6 too", () => {
    expect(parseAddress("[::1]:3443")).toEqual({ host: "::1", port: 3443 });
    expect(parseAddress("core:1")).toEqual({ host: "core", port: 1 });
    for (const bad of ["core", "core:0", "core:70000", "::1:3"]) expect(() => parseAddress(bad), bad).toThrow();
  });

  it("finds its own address and tools", async () => {
    expect(findLinkAddress(undefined, "lo")).toBe("127.0.0.1");
    expect(() => findLinkAddress(undefined, "nosuch0")).toThrowError(expect.objectContaining({ code: "CONFIG_INVALID" }));
    expect(await findTools({ criu: "/x/criu" })).toMatchObject({ criu: "/x/criu" });
    expect(Object.values(await findTools({})).every((path) => path.startsWith("/"))).toBe(true);
  });
});
