import { describe, expect, it } from "vitest";
import type { ProcessView } from "../supervisor/process.ts";
import { mountPointsBelow, victimsAmong } from "./sweep.ts";

const view = (pid: number, parentPid: number, more: Partial<ProcessView> = {}): ProcessView => ({
  ref: { pid, startTicks: `t${pid}` },
  parentPid,
  networkInode: "1",
  environment: [],
  ...more,
});
const mark = "AETHER_CLOUD=/srv/cloud";

describe("victimsAmong", () => {
  const of = { mark, inodes: new Set(["77"]), recorded: [{ pid: 30, startTicks: "t30" }], self: 3 };
  const pids = (all: ProcessView[], options = of) => victimsAmong(all, options).map((ref) => ref.pid);

  it("takes what carries the mark, lives in a namespace of the cloud, or is recorded, and all that descends from it", () => {
    const all = [
      view(10, 1, { environment: ["A=1", mark] }),
      view(11, 10),
      view(12, 11),
      view(20, 1, { networkInode: "77" }),
      view(30, 1),
      view(40, 1),
    ];
    expect(pids(all)).toEqual([10, 11, 12, 20, 30]);
  });
  it("spares itself, the shell that called it, and everything that is not marked", () => {
    const all = [
      view(2, 1, { environment: [mark] }),
      view(3, 2, { environment: [mark] }),
      view(50, 1, { environment: [`${mark}2`] }),
      view(51, 1),
    ];
    expect(pids(all)).toEqual([]);
  });
  it("never takes a recorded pid that now belongs to another process", () => {
    expect(pids([{ ...view(30, 1), ref: { pid: 30, startTicks: "later" } }])).toEqual([]);
  });
});

describe("mountPointsBelow", () => {
  it("answers the last mounted first, with escapes undone, and not what merely begins alike", () => {
    const info = [
      "20 1 8:1 / / rw - ext4 /dev/vda rw",
      "30 20 0:40 / /srv/cloud/a\\040b rw - overlay overlay rw",
      "31 20 0:41 / /srv/cloud2/x rw - tmpfs tmpfs rw",
      "32 30 0:42 / /srv/cloud/a\\040b/proc rw - proc proc rw",
      "",
    ].join("\n");
    expect(mountPointsBelow(info, "/srv/cloud")).toEqual(["/srv/cloud/a b/proc", "/srv/cloud/a b"]);
  });
});
