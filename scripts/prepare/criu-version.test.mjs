// @ts-check
import { describe, expect, it } from "vitest";
import { criuNeededBy, isAtLeast, parseVersion } from "./criu-version.mjs";

describe("which CRIU a kernel needs", () => {
  it.each([
    ["5.15.0-130-generic", [3, 17]],
    ["6.1.0-37-amd64", [3, 17]],
    ["6.12.9+bpo-cloud-amd64", [3, 17]],
    ["6.13.0-rc1", [4, 1]],
    ["6.15.11", [4, 1]],
    ["6.16.0", [4, 2]],
    ["6.18.44-fc-v657", [4, 2]],
    ["7.0.1", [4, 2]],
  ])("%s", (kernel, expected) => expect(criuNeededBy(kernel).criu).toEqual(expected));

  it.each([
    ["Version: 4.2.1\nGitID: v4.2", [4, 2]],
    ["3.17.1-2+deb12u1", [3, 17]],
    ["nothing of the kind", undefined],
  ])("reads %j", (text, expected) => expect(parseVersion(text)).toEqual(expected));

  it("compares by number and not by letter", () => {
    expect(isAtLeast([4, 10], [4, 2])).toBe(true);
    expect(isAtLeast([3, 99], [4, 0])).toBe(false);
    expect(isAtLeast([4, 1], [4, 2])).toBe(false);
  });
});
