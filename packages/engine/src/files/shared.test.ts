// How an answer is judged, and how mounts are read. With two hosts: tests/e2e/engine/files.test.ts.
import { expect, it } from "vitest";
import { mountOf } from "./mounts.ts";
import { judge } from "./shared.ts";

const mount = { type: "nfs4", source: "10.0.0.5:/data", isReadOnly: false };
const offer = (more: object) => ({ index: 0, probe: "p", reason: "", mount, inode: "7", ...more });

it.each<[string, object, object, string | null, string | null, boolean]>([
  ["both write and both see", {}, { content: "mine" }, "theirs", "theirs", true],
  ["ours is not seen there", {}, { content: null }, "theirs", "theirs", false],
  ["another file of that name is seen there", {}, { content: "old" }, "theirs", "theirs", false],
  ["theirs is not seen here", {}, { content: "mine" }, null, "theirs", false],
  ["theirs reads as something else here", {}, { content: "mine" }, "else", "theirs", false],
  ["only the source may write", {}, { probe: null, content: "mine" }, null, null, true],
  ["only the target may write", { probe: null }, { content: null }, "theirs", "theirs", true],
  ["nobody may write, the same export and directory", { probe: null }, { probe: null, content: null }, null, null, true],
  ["nobody may write, another directory of it", { probe: null }, { probe: null, content: null, inode: "8" }, null, null, false],
  ["nobody may write, and nothing is known", { probe: null, mount: null }, { probe: null, content: null, mount: null }, null, null, false],
])("%s", (_, ours, theirs, seenHere, theirContent, isSame) => {
  const said = { ...offer({}), content: null, ...theirs } as Parameters<typeof judge>[1];
  expect(judge({ offer: offer(ours), content: "mine" }, said, seenHere, theirContent).isSame).toBe(isSame);
});

it("the mount of a path is the deepest one, and of two on one point the last", () => {
  const mountinfo = `21 1 8:1 / / rw - ext4 /dev/sda1 rw
30 21 0:44 / /srv/a\\040b rw - nfs4 10.0.0.5:/data rw
31 21 0:45 / /srv/ro rw - squashfs /dev/loop0 ro
32 21 8:1 /var/x /srv/bind rw - ext4 /dev/sda1 rw
33 21 0:46 / /srv/bind rw - tmpfs none rw`;
  expect(mountOf("/srv/a b/deep", mountinfo)).toEqual({ type: "nfs4", source: "10.0.0.5:/data", isReadOnly: false });
  expect(mountOf("/srv/ro", mountinfo)).toMatchObject({ type: "squashfs", isReadOnly: true });
  expect(mountOf("/srv/bind", mountinfo)).toMatchObject({ type: "tmpfs" });
  expect(mountOf("/srv/binder", mountinfo)).toMatchObject({ type: "ext4" });
});
