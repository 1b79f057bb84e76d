// @ts-check
// Only reports. CRIU hands memory over through pipes; a limit on a user's pipe pages binds also a root that lacks CAP_SYS_RESOURCE, and a large
// process then fails in the middle of its dump ("page-pipe: tee: Operation not permitted").
import { readFileSync } from "node:fs";
import { hasCapSysResource } from "./machine.mjs";

const LIMIT = "fs.pipe-user-pages-soft";

/** @type {import("./step.mjs").Step} */
export const pipeLimits = {
  name: "pipe limits",
  why: "post-copy moves of large processes",
  isRequired: false,
  changes: "machine",
  look({ machine }) {
    if (!machine.isLinux) return { state: "done", found: "not a Linux machine" };
    if (machine.isRoot && hasCapSysResource()) return { state: "done", found: "do not bind this user" };
    const pages = Number(readFileSync(`/proc/sys/${LIMIT.replace(".", "/")}`, "utf8"));
    if (pages === 0) return { state: "done", found: `${LIMIT} is 0 (no limit)` };
    return { state: "blocked", found: `${LIMIT} is ${pages} and binds this user`, getIt: `as root: sysctl -w ${LIMIT}=0` };
  },
};
