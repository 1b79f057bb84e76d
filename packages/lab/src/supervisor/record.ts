// DIR/cloud.json: what this cloud is made of, written before it is made, so that `aether down` can take apart what a kill -9 left.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { isErrno, readTextIfThere, writeFileAtomic } from "@aether/kit";
import { z } from "zod";
import { isAlive, processRef } from "./process.ts";

const missing = z.object({ what: z.string(), why: z.string(), mend: z.string() });
/** Something that the machine lacks for nodes. */
export type Missing = z.infer<typeof missing>;

const cloudRecord = z.object({
  version: z.literal(1),
  state: z.enum(["starting", "ready", "failed", "stopping"]),
  prefix: z.string(),
  subnet: z.string(),
  nodeCount: z.number().int(),
  url: z.string(),
  /** Pids mean nothing after a reboot. */
  bootId: z.string(),
  supervisor: processRef,
  processes: z.record(z.string(), processRef),
  /** What was said while it started. */
  progress: z.array(z.string()),
  missing: z.array(missing),
  error: z.object({ code: z.string(), message: z.string(), hint: z.string() }).optional(),
});
export type CloudRecord = z.infer<typeof cloudRecord>;

/** The record, or undefined when the directory holds no cloud. Throws CONFIG_INVALID when it cannot be read. */
export async function readRecord(dir: string): Promise<CloudRecord | undefined> {
  const file = join(dir, "cloud.json");
  const text = await readTextIfThere(file);
  if (text === undefined) return undefined;
  try {
    return cloudRecord.parse(JSON.parse(text));
  } catch (cause) {
    throw fault("CONFIG_INVALID", `${file} is not the record of a cloud`, {
      cause,
      hint: `Remove what it names by hand, then ${file} itself.`,
    });
  }
}

/** Is there a supervisor at work? */
export function isSupervised(record: CloudRecord): boolean {
  return record.bootId === bootId() && isAlive(record.supervisor);
}

export interface RecordKeeper {
  readonly record: CloudRecord;
  /** Changes and writes it; writes follow each other. */
  change(part: Partial<CloudRecord>): Promise<void>;
}

/** Writes the first version. */
export async function keepRecord(dir: string, first: Omit<CloudRecord, "version" | "bootId">): Promise<RecordKeeper> {
  let record: CloudRecord = { version: 1, bootId: bootId(), ...first };
  let writing = Promise.resolve();
  const write = () => {
    writing = writing.then(() => writeFileAtomic(join(dir, "cloud.json"), `${JSON.stringify(record, null, 2)}\n`));
    return writing;
  };
  await write();
  return {
    get record() {
      return record;
    },
    change(part) {
      record = { ...record, ...part };
      return write();
    },
  };
}

export function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "EACCES")) return "unknown";
    throw caught;
  }
}
