// @ts-check
import { describe, expect, it } from "vitest";
import { mirrorOfScript, mirrorOfTargets } from "./debian-mirror.mjs";

describe("which mirror of Debian is taken", () => {
  it("the machine's own, not the security archive and not another distribution's", () => {
    const targets = [
      "Ubuntu|Ubuntu|http://ubuntu.example/ubuntu/",
      "Debian|Debian-Security|http://mirror.example/debian-security/",
      "Debian|Debian|http://mirror.example/debian/",
      "Debian|Debian|http://second.example/debian/",
    ].join("\n");
    expect(mirrorOfTargets(targets)).toBe("http://mirror.example/debian");
  });

  it.each([
    "",
    "Ubuntu|Ubuntu|http://ubuntu.example/ubuntu/",
    "Debian|Debian|cdrom://disc",
    "Debian|Debian|http://me:secret@mirror.example/debian",
  ])("none from %j", (targets) => expect(mirrorOfTargets(targets)).toBeUndefined());

  it("else the one of debootstrap", () => {
    expect(mirrorOfScript('A=1\nDEF_MIRROR="http://mirror.example/debian"\nDEF_HTTPS_MIRROR="https://x.example"\n')).toBe(
      "http://mirror.example/debian",
    );
    expect(mirrorOfScript("echo\n")).toBeUndefined();
  });
});
