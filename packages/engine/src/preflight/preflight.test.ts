import { describe, expect, it } from "vitest";
import { judgeOpenFile, type OpenFile } from "./descriptors.ts";
import { deviceOf, parseWatches } from "./watches.ts";

const file = (more: Partial<OpenFile>): OpenFile => ({
  pid: 7,
  fd: 3,
  link: "/data/file",
  bytes: 0,
  isDevice: false,
  isMessageQueue: false,
  device: "",
  isMountKnown: true,
  ...more,
});

describe("judgeOpenFile", () => {
  it.each([
    ["IO_URING_IN_USE", { link: "anon_inode:[io_uring]" }],
    ["KERNEL_OBJECT_IN_USE", { link: "anon_inode:[perf_event]" }],
    ["GPU_IN_USE", { link: "/dev/nvidia0", isDevice: true, device: "195:0" }],
    ["DEVICE_IN_USE", { link: "/dev/fuse", isDevice: true, device: "10:229" }],
    ["MQUEUE_IN_USE", { link: "/queue", isMountKnown: false, isMessageQueue: true }],
    ["MQUEUE_IN_USE", { link: "/dev/mqueue/queue", isMessageQueue: true }],
    ["FILE_OUTSIDE", { link: "/queue", isMountKnown: false }],
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
    { link: "/memfd:cache (deleted)", isMountKnown: false },
  ])("lets $link pass", (more) => expect(judgeOpenFile(file(more))).toEqual({ blockers: [], warnings: [] }));
  it("says that a small deleted file travels, and how large it is", () =>
    expect(judgeOpenFile(file({ link: "/tmp/x (deleted)", bytes: 4096 }))).toMatchObject({
      blockers: [],
      warnings: [{ code: "DELETED_FILE_TRAVELS", message: expect.stringContaining("4096 bytes") }],
    }));
  it("warns of inotify", () => expect(judgeOpenFile(file({ link: "anon_inode:inotify" })).warnings).toHaveLength(1));
});

it("watches are read as the kernel writes them", () => {
  const fdinfo =
    "pos:\t0\nflags:\t00\ninotify wd:2 ino:2f sdev:800001 mask:100 ignored_mask:0 fhandle-bytes:8\ninotify wd:1 ino:7 sdev:2a mask:2\n";
  expect(parseWatches(fdinfo)).toEqual([
    { inode: 0x2f, device: 0x800001 },
    { inode: 7, device: 0x2a },
  ]);
  expect([deviceOf(0x800001), deviceOf(0x2a), deviceOf(300)]).toEqual([0x801, 0x2a, (300 & 0xff) | (0x100 << 12)]);
});
