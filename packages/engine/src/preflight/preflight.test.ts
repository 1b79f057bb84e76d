import { describe, expect, it } from "vitest";
import type { Finding } from "../engine.ts";
import { judgeOpenFile, type OpenFile } from "./descriptors.ts";
import { chooseMode, stopAndCopyMaxBytes } from "./preflight.ts";

const file = (more: Partial<OpenFile>): OpenFile => ({
  pid: 7,
  fd: 3,
  link: "/data/file",
  bytes: 0,
  isDevice: false,
  device: "",
  isMountKnown: true,
  ...more,
});

describe("judgeOpenFile", () => {
  it.each([
    ["IO_URING_IN_USE", { link: "anon_inode:[io_uring]" }],
    ["KERNEL_OBJECT_IN_USE", { link: "anon_inode:[perf_event]" }],
    ["DEVICE_IN_USE", { link: "/dev/nvidia0", isDevice: true, device: "195:0" }],
    ["MQUEUE_IN_USE", { link: "/queue", isMountKnown: false }],
    ["FILE_OUTSIDE", { link: "/root/secret/log", isMountKnown: false }],
    ["DELETED_FILE_TOO_LARGE", { link: "/tmp/x (deleted)", bytes: 65 << 20 }],
  ])("blocks %s and names process and descriptor", (code, more) => {
    const { blockers } = judgeOpenFile(file(more));
    expect(blockers.map((one) => one.code)).toEqual([code]);
    expect(blockers[0]?.subject).toContain("process 7, descriptor 3");
  });
  it.each([
    { link: "/dev/null", isDevice: true, device: "1:3" },
    { link: "socket:[1]", isMountKnown: false },
    { link: "pipe:[1]", isMountKnown: false },
    { link: "anon_inode:[eventpoll]", isMountKnown: false },
    { link: "/tmp/x (deleted)", bytes: 4096 },
    { link: "/memfd:cache (deleted)", isMountKnown: false },
  ])("lets $link pass", (more) => expect(judgeOpenFile(file(more))).toEqual({ blockers: [], warnings: [] }));
  it("warns of inotify", () => expect(judgeOpenFile(file({ link: "anon_inode:inotify" })).warnings).toHaveLength(1));
});

describe("chooseMode", () => {
  const choose = (requested: Parameters<typeof chooseMode>[0], bytes: number, here: boolean, there: boolean) => {
    const blockers: Finding[] = [];
    return { ...chooseMode(requested, bytes, here, there, blockers), blockers: blockers.map((one) => one.code) };
  };
  it("sends small memory inside the freeze, large memory lazily where both nodes can", () => {
    expect(choose("auto", stopAndCopyMaxBytes, true, true).mode).toBe("stop-and-copy");
    expect(choose("auto", stopAndCopyMaxBytes + 1, true, true).mode).toBe("post-copy");
    expect(choose("auto", stopAndCopyMaxBytes + 1, true, false)).toMatchObject({
      mode: "stop-and-copy",
      reason: expect.stringContaining("target"),
    });
    expect(choose("auto", stopAndCopyMaxBytes + 1, false, true)).toMatchObject({
      mode: "stop-and-copy",
      reason: expect.stringContaining("source"),
    });
  });
  it("refuses a mode that cannot be had instead of taking another", () => {
    expect(choose("post-copy", 1, true, false).blockers).toEqual(["MODE_UNAVAILABLE"]);
    expect(choose("pre-copy", 1, true, true).blockers).toEqual(["MODE_UNAVAILABLE"]);
    expect(choose("post-copy", 1, true, true).blockers).toEqual([]);
  });
});
