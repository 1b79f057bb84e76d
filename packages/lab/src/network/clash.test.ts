import { describe, expect, it } from "vitest";
import { overlapping } from "./clash.ts";

describe("overlapping", () => {
  const find = (dst: string, dev = "eth0") =>
    overlapping("10.77.0.0/16", "ae-host", [
      { dst: "default", dev: "eth0" },
      { dst, dev },
    ]);
  it("finds routes inside, equal to and around the subnet", () => {
    expect(find("10.77.3.0/24")).toBe("10.77.3.0/24 dev eth0");
    expect(find("10.77.0.0/16")).toBe("10.77.0.0/16 dev eth0");
    expect(find("10.0.0.0/8")).toBe("10.0.0.0/8 dev eth0");
    expect(find("10.77.9.9")).toBe("10.77.9.9 dev eth0");
  });
  it("lets others, default routes and its own link pass", () => {
    expect(find("10.76.0.0/16")).toBeUndefined();
    expect(find("192.168.0.0/16")).toBeUndefined();
    expect(find("10.77.0.0/16", "ae-host")).toBeUndefined();
  });
});
