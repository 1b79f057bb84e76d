import { describe, expect, it } from "vitest";
import { sharedMappings } from "./classes.ts";

describe("sharedMappings", () => {
  it("finds shared memory without a name in a file system, and nothing else", () => {
    const maps = [
      "7f0000000000-7f0000400000 rw-s 00000000 00:01 1025                       /dev/zero (deleted)",
      "7f0000400000-7f0000800000 rw-s 00400000 00:01 2048                       /memfd:heap (deleted)",
      "7f0000800000-7f0000900000 rw-s 00000000 00:01 32769                      /SYSV0052e2c1 (deleted)",
      "7f0000900000-7f0000a00000 rw-p 00000000 00:00 0                          [heap]",
      "7f0000a00000-7f0000b00000 r--s 00000000 fe:01 77                         /usr/lib/locale/locale-archive",
      "7f0000b00000-7f0000c00000 rw-p 00000000 00:01 99                         /memfd:private (deleted)",
    ].join("\n");
    expect(sharedMappings(maps)).toEqual([
      { range: "7f0000000000-7f0000400000", object: "00:01:1025", isSysv: false },
      { range: "7f0000400000-7f0000800000", object: "00:01:2048", isSysv: false },
      { range: "7f0000800000-7f0000900000", object: "00:01:32769", isSysv: true },
    ]);
  });
});
