import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Fault } from "./faults.ts";
import { makeId, parseIpv4, parseLabel } from "./ids.ts";

describe("parseLabel", () => {
  it.each(["a", "db", "my-db-1", "0", "a".repeat(40)])("takes %s", (name) => expect(parseLabel(name, "name")).toBe(name));
  it.each(["", "-a", "a-", "A", "a.b", "a/b", "..", "$(x)", "a".repeat(41), "a\n"])("refuses %j and names the field", (name) => {
    const refused = (() => {
      try {
        parseLabel(name, "spec.name");
      } catch (caught) {
        return Fault.from(caught);
      }
      return undefined;
    })();
    expect(refused?.code).toBe("INVALID_ARGUMENT");
    expect(refused?.field).toBe("spec.name");
  });
});

describe("makeId", () => {
  it("sorts by time", () => {
    const random = new Uint8Array(5);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 45 }), fc.integer({ min: 1, max: 1e9 }), (at, later) => {
        expect(makeId("mig", at, random) < makeId("mig", at + later, random)).toBe(true);
      }),
    );
  });
  it("differs by its random part", () => {
    expect(makeId("mig", 1, Uint8Array.of(1, 2, 3, 4, 5))).not.toBe(makeId("mig", 1, Uint8Array.of(1, 2, 3, 4, 6)));
  });
});

describe("parseIpv4", () => {
  it("takes every dotted address and refuses what is near one", () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        expect(parseIpv4(address, "address")).toBe(address);
      }),
    );
    for (const bad of ["", "10.0.0", "10.0.0.256", "10.0.0.1.2", " 10.0.0.1", "::1", "10.0.0.1\n"])
      expect(() => parseIpv4(bad, "address")).toThrow();
  });
});
