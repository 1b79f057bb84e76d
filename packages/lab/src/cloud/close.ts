// Ends a cloud from the outside: its supervisor first (which ends its own children in order), then whatever is left of it on the machine.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { ownerOf } from "../network/clash.ts";
import { endProcess } from "../supervisor/process.ts";
import { bootId, isSupervised, readRecord } from "../supervisor/record.ts";
import { sweepCloud, wholeCloud } from "../sweep/sweep.ts";
import { cloudPaths, removedByDown } from "./paths.ts";

export interface CloseOptions {
  readonly dir: string;
  /** Of a cloud whose record is lost. Default "ae". */
  readonly prefix?: string;
  readonly say: (text: string) => void;
}

export interface Closed {
  /** Whether there was anything. */
  readonly wasThere: boolean;
  readonly removed: readonly string[];
  /** Nothing was in this directory, but a cloud of this prefix runs from that one; it was left alone. */
  readonly otherDir?: string;
}

/** The supervisor ends everything in order within this time; then it is killed and its work done from here. */
const supervisorMs = 45_000;

/** Stops the cloud and removes everything that it made but its logs. Safe to repeat; works after a kill -9 of any part. */
export async function closeCloud(options: CloseOptions): Promise<Closed> {
  const paths = cloudPaths(options.dir);
  const record = await readRecord(paths.dir);
  if (record !== undefined && record.supervisor.pid !== process.pid && isSupervised(record)) {
    options.say("stopping the cloud");
    if (!(await endProcess(record.supervisor, supervisorMs))) {
      throw fault("TOOL_TIMEOUT", `the supervisor (pid ${record.supervisor.pid}) did not end`, { hint: `See ${paths.log("up")}.` });
    }
  }
  const prefix = record?.prefix ?? options.prefix ?? "ae";
  const owner = await ownerOf(prefix);
  if (record === undefined && owner !== undefined && owner !== paths.dir) return { wasThere: false, removed: [], otherDir: owner };
  const isThisBoot = record?.bootId === bootId();
  const recorded = record !== undefined && isThisBoot ? Object.values(record.processes) : [];
  const removed = await sweepCloud(paths.dir, wholeCloud(prefix), recorded);
  if (record !== undefined) for (const name of removedByDown) await rm(join(paths.dir, name), { recursive: true, force: true });
  return { wasThere: record !== undefined || removed.length > 0, removed };
}
