// Where the agent lives: disk, clock, and the way to the control plane.
import { access, constants, readFile, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { type Check, isErrno, run } from "@aether/kit";
import { findTool } from "../config.ts";

const gib = 2 ** 30;

/** Checks of these directories, and of the clock. */
export function placeChecks(dirs: { readonly stateDir: string; readonly snapshotDir: string }): readonly Check[] {
  return [
    {
      name: "disk",
      title: "Disk space",
      why: "checkpoint images and snapshots are as large as the workloads' memory",
      async run() {
        const found: string[] = [];
        for (const dir of new Set([dirs.stateDir, dirs.snapshotDir])) {
          const { bavail, bsize } = await statfs(await nearestExisting(dir));
          const freeBytes = bavail * bsize;
          const text = `${(freeBytes / gib).toFixed(1)} GiB free for ${dir}`;
          if (freeBytes < gib / 2) return { status: "fail", detail: text, mend: "free space there, or set another directory" };
          if (freeBytes < 4 * gib)
            return { status: "warn", detail: text, mend: "keep at least the memory of the largest workload, twice, free" };
          found.push(text);
        }
        return { status: "ok", detail: found.join(", ") };
      },
    },
    {
      name: "state-directory",
      title: "State directory",
      why: "commands, signals and identities are kept there; without it the agent does not start",
      async run() {
        const existing = await nearestExisting(dirs.stateDir);
        const isWritable = await access(existing, constants.W_OK).then(
          () => true,
          () => false,
        );
        if (isWritable)
          return { status: "ok", detail: `${dirs.stateDir} ${existing === dirs.stateDir ? "can be written" : "can be made"}` };
        const mend = "run as root, or set stateDir (AETHER_AGENT_STATE_DIR)";
        return { status: "fail", detail: `${existing} cannot be written by this user`, mend };
      },
    },
    {
      name: "clock",
      title: "Clock",
      why: "certificates have dates, and a receipt compares two hosts' clocks",
      async run(signal) {
        if (Date.now() < Date.UTC(2025, 0, 1))
          return { status: "fail", detail: `it says ${new Date().toISOString()}`, mend: "set the clock" };
        const chronyc = await findTool("chronyc");
        const timedatectl = await findTool("timedatectl");
        if (chronyc !== undefined) {
          const { stdout } = await run(chronyc, ["-c", "tracking"], { deadlineMs: 5_000, signal, okCodes: [0, 1] });
          const offsetSeconds = Math.abs(Number(stdout.split(",")[4] ?? Number.NaN));
          if (offsetSeconds < 1) return { status: "ok", detail: `chrony: ${(offsetSeconds * 1000).toFixed(2)} ms off` };
        }
        if (timedatectl !== undefined) {
          const { stdout } = await run(timedatectl, ["show", "--property=NTPSynchronized", "--value"], {
            deadlineMs: 5_000,
            signal,
            okCodes: [0, 1],
          });
          if (stdout.trim() === "yes") return { status: "ok", detail: "synchronized" };
        }
        const source = (await readFile("/sys/devices/system/clocksource/clocksource0/current_clocksource", "utf8")).trim();
        return {
          status: "warn",
          detail: `nothing here says that it is synchronized (clock source ${source})`,
          mend: "install chrony, or start systemd-timesyncd",
        };
      },
    },
  ];
}

async function nearestExisting(dir: string): Promise<string> {
  for (let at = dir; ; at = dirname(at)) {
    try {
      await statfs(at);
      return at;
    } catch (caught) {
      if (!isErrno(caught, "ENOENT") || at === dirname(at)) throw caught;
    }
  }
}
