import { describe, expect, it } from "vitest";
import { cloudLayout, namesOf } from "./layout.ts";

describe("cloudLayout", () => {
  it("gives the addresses that the documentation promises", () => {
    const cloud = cloudLayout({ nodeCount: 3 });
    expect(cloud.fabricNamespace).toBe("ae-fabric");
    expect(cloud.hostAddress).toBe("10.77.0.1");
    expect(cloud.nodes.map((node) => [node.id, node.namespace, node.address])).toEqual([
      ["n1", "ae-n1", "10.77.0.11"],
      ["n2", "ae-n2", "10.77.0.12"],
      ["n3", "ae-n3", "10.77.0.13"],
    ]);
    expect(cloud.demoAddress).toBe("10.77.1.1");
  });

  it("keeps two clouds apart in every name and address", () => {
    const names = (prefix: string, subnet: string) => {
      const cloud = cloudLayout({ prefix, subnet });
      return [
        cloud.fabricNamespace,
        cloud.hostLink,
        cloud.hostAddress,
        ...cloud.nodes.flatMap((n) => [n.namespace, n.address, n.instanceId]),
      ];
    };
    const others = names("t1", "10.78.0.0/16");
    expect(names("ae", "10.77.0.0/16").filter((name) => others.includes(name))).toEqual([]);
  });

  it("stays inside the kernel's 15 characters for interface names, at the longest prefix and 16 nodes", () => {
    const cloud = cloudLayout({ prefix: "abcde", nodeCount: 16 });
    for (const name of [cloud.hostLink, cloud.hostFabricLink, ...cloud.nodes.map((n) => n.fabricLink)]) {
      expect(name.length).toBeLessThanOrEqual(15);
    }
  });

  it.each([
    [{ prefix: "" }, "prefix"],
    [{ prefix: "toolong" }, "prefix"],
    [{ prefix: "a/b" }, "prefix"],
    [{ subnet: "8.8.0.0/16" }, "subnet"],
    [{ subnet: "10.300.0.0/16" }, "subnet"],
    [{ subnet: "10.77.0.0/24" }, "subnet"],
    [{ nodeCount: 17 }, "nodes"],
    [{ nodeCount: 1.5 }, "nodes"],
  ])("refuses %j and names the field", (options, field) => {
    expect(() => cloudLayout(options)).toThrowError(expect.objectContaining({ code: "INVALID_ARGUMENT", field }));
  });
});

describe("namesOf", () => {
  it("takes a cloud's own names and those derived from its hosts, and none of a cloud beside it", () => {
    const isOurs = namesOf("ae");
    for (const name of ["ae-fabric", "ae-n1", "ae-n12", "ae-ae-n1-0a1b2c3d", "ae-ae-n2-db"]) expect(isOurs(name), name).toBe(true);
    for (const name of ["ae-t1-n1-0a1b2c3d", "t1-fabric", "ae-host", "ae", "ae-nx", "ae-ae-fabric"]) expect(isOurs(name), name).toBe(false);
    expect(namesOf("t1")("ae-t1-n1-0a1b2c3d")).toBe(true);
  });
  it("tells the nodes of one cloud apart", () => {
    const isOurs = namesOf("ae", "ae-n1");
    expect(["ae-n1", "ae-ae-n1-db"].map(isOurs)).toEqual([true, true]);
    expect(["ae-n10", "ae-ae-n10-db", "ae-fabric", "ae-n2"].map(isOurs)).toEqual([false, false, false, false]);
  });
});
