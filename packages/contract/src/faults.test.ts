import { ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Fault, type FaultCode, fault, faults } from "./faults.ts";

const codes = Object.keys(faults) as FaultCode[];

describe("Fault", () => {
  it("crosses the wire whole, with field, hint and details in any script", () => {
    fc.assert(
      fc.property(fc.constantFrom(...codes), fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (code, field, detail) => {
        fc.pre(field.isWellFormed() && detail.isWellFormed());
        const sent = fault(code, "what happened", { field, details: { detail } });
        const wire = sent.toConnectError("abc");
        const back = Fault.from(new ConnectError(wire.rawMessage, wire.code, wire.metadata));
        expect(back).toMatchObject({ code, field, hint: sent.hint, details: { detail } });
      }),
    );
  });
  it("never lets the text of an unknown error out", () => {
    const wire = Fault.from(new Error("password=hunter2")).toConnectError("abc");
    expect(wire.rawMessage).not.toContain("hunter2");
    expect(wire.rawMessage).toContain("abc");
  });
  it("keeps a fault that is the reason of an abort", () => {
    const controller = new AbortController();
    controller.abort(fault("COMMAND_EXPIRED"));
    expect(Fault.from(controller.signal.reason).code).toBe("COMMAND_EXPIRED");
  });
  it("says DISK_FULL for ENOSPC", () => {
    expect(Fault.from(Object.assign(new Error("write"), { code: "ENOSPC" })).code).toBe("DISK_FULL");
  });
});

describe("the table", () => {
  it.each(codes)("%s has a title and a next step", (code) => {
    expect(faults[code].title).not.toBe("");
    expect(faults[code].hint).toMatch(/\.$/);
  });
});
