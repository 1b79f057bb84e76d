import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { coreSpiffeId, nodeIdOf, nodeSpiffeId, parseSpiffeId } from "./spiffe.ts";

describe("SPIFFE IDs", () => {
  it("takes its own forms apart again", () => {
    const segment = fc.stringMatching(/^[A-Za-z0-9_-]{1,40}$/);
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,30}$/), segment, (trustDomain, node) => {
        expect(parseSpiffeId(nodeSpiffeId(trustDomain, node))).toEqual({ trustDomain, path: `/node/${node}` });
        expect(nodeIdOf(nodeSpiffeId(trustDomain, node))).toBe(node);
        expect(nodeIdOf(coreSpiffeId(trustDomain))).toBeUndefined();
      }),
    );
  });

  it.each([
    "spiffe://aether.local",
    "spiffe://aether.local/",
    "spiffe://aether.local/node/",
    "spiffe://aether.local/node/../core",
    "spiffe://aether.local/node/.",
    "spiffe://AETHER.local/node/n1",
    "spiffe://user@aether.local/node/n1",
    "spiffe://aether.local:443/node/n1",
    "spiffe://aether.local/node/n1?x=1",
    "spiffe://aether.local/node/n%31",
    "spiffe://aether.local/node/n1, URI:spiffe://aether.local/core",
    "https://aether.local/node/n1",
    " spiffe://aether.local/node/n1",
    "spiffe://aether.local/node/n1\n",
    `spiffe://aether.local/${"a/".repeat(2000)}a`,
  ])("refuses %s", (text) => {
    expect(() => parseSpiffeId(text)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT", field: "spiffeId" }));
  });

  it("reads a node only from a node's ID", () => {
    expect(nodeIdOf("spiffe://aether.local/node/n1/more")).toBeUndefined();
  });
});
