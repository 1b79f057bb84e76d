// Which file system a path is on, for people: what two nodes have at a path that should be the same.
import { readFileSync } from "node:fs";

export interface MountFacts {
  /** "nfs4", "ext4", … */
  readonly type: string;
  /** "10.0.0.5:/export", "/dev/nvme1n1", … and where in it the mount begins, where that is not its root. */
  readonly source: string;
  readonly isReadOnly: boolean;
}

/** Of the mount that `path` is on, from the text of /proc/PID/mountinfo (proc(5)); undefined when there is none. The path must be resolved already. */
export function mountOf(path: string, mountinfo: string): MountFacts | undefined {
  let best: { point: string; facts: MountFacts } | undefined;
  for (const line of mountinfo.split("\n")) {
    const [left = "", right = ""] = line.split(" - ");
    const [, , , root = "/", point = "", options = ""] = left.split(" ").map(plainPath);
    const [type = "", source = "", superOptions = ""] = right.split(" ").map(plainPath);
    if (point === "" || !(path === point || point === "/" || path.startsWith(`${point}/`))) continue;
    // Of two mounts on one point the later one is on top.
    if (best !== undefined && best.point.length > point.length) continue;
    const isReadOnly = [options, superOptions].some((each) => each.split(",").includes("ro"));
    best = { point, facts: { type, source: root === "/" ? source : `${source}, its ${root}`, isReadOnly } };
  }
  return best?.facts;
}

/** The kernel writes blanks and backslashes of paths as octal numbers. */
const plainPath = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

export const ownMountOf = (path: string): MountFacts | undefined => mountOf(path, readFileSync("/proc/self/mountinfo", "utf8"));
