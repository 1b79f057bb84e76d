// @ts-check
// One preparation at a time for each thing that is shared (this clone, the machine's prefix). The lock is flock(2) on an open file, taken by
// the `flock` program through an inherited descriptor: it belongs to the open file and not to a process, so it ends with us however we end
// (kill -9 too), and a child that outlives us keeps it until it is done. Nothing stale is ever left to judge.
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { findCommand } from "./machine.mjs";
import { run } from "./run.mjs";

/**
 * Runs `work` alone, after any other preparation that holds `path`. Where there is no `flock` program (outside Linux) there is no lock:
 * nothing machine-wide is installed there.
 * @template T
 * @param {string} path @param {AbortSignal} signal @param {(lockFd: number | undefined) => Promise<T>} work
 * @returns {Promise<T>}
 * @throws {import("./run.mjs").StepError} after ten minutes of waiting
 */
export async function withLock(path, signal, work) {
  const flock = findCommand("flock");
  if (flock === undefined) return work(undefined);
  mkdirSync(dirname(path), { recursive: true });
  const fd = openSync(path, "a");
  try {
    await run(flock, ["--exclusive", "3"], { label: `waiting for another preparation (${path})`, deadlineMs: 600_000, signal, lockFd: fd });
    return await work(fd);
  } finally {
    closeSync(fd);
  }
}
