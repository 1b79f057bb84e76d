// What this host knows of one migration, on disk: written before each side effect, so that a restart can tell what was begun.
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { readTextNow, syncWritten, writeFileAtomic, writeFileAtomicNow } from "@aether/kit";
import { z } from "zod";
import type { MigrationRef, Phase, Progress } from "../engine.ts";
import { type Host, migrationDir, migrationsDir } from "../host.ts";
import { imagePin } from "../image/images.ts";
import { holdMethods } from "../network/hold.ts";
import { workloadSpec } from "../record.ts";

const migrationRecord = z.object({
  migrationId: z.string(),
  workload: z.string(),
  epoch: z.number(),
  side: z.enum(["source", "target"]),
  /** Source: copying, freezing, frozen, released, thawed. Target: preparing, prepared, restoring, restored, resumed, aborted. */
  stage: z.enum([
    "copying",
    "freezing",
    "frozen",
    "thawed",
    "released",
    "preparing",
    "prepared",
    "restoring",
    "restored",
    "resumed",
    "aborted",
  ]),
  mode: z.enum(["pre-copy", "post-copy", "stop-and-copy"]),
  /** Target. */
  spec: workloadSpec.optional(),
  sourceNodeId: z.string().optional(),
  holdPid: z.number().optional(),
  holdMethod: z.enum([...holdMethods, "none"]).optional(),
  /** Target, pre-copy: who puts the memory in place. */
  memoryPid: z.number().optional(),
  /** Target, where pages follow after the resume: who fetches them. */
  pagesPid: z.number().optional(),
  /** Source: who lets the workload run again when we die in the freeze. */
  guardPid: z.number().optional(),
  /** Target: when the source cut the workload off, on this host's clock, and how wrong that may be. */
  cutAtMs: z.number().optional(),
  clockErrorMs: z.number().optional(),
  /** Of an "oci:" rootfs, as the source told while files travelled. */
  image: imagePin.optional(),
  stoppedAtMs: z.number().nullable().optional(),
  /** Kept so that a repeated resume answers the same. */
  result: z.unknown().optional(),
});
export type MigrationRecord = z.infer<typeof migrationRecord>;

const file = (host: Host, id: string) => join(migrationDir(host, id), "migration.json");

export async function readMigration(host: Host, id: string): Promise<MigrationRecord | undefined> {
  const text = readTextNow(file(host, id));
  return text ? migrationRecord.parse(JSON.parse(text)) : undefined;
}

export async function writeMigration(host: Host, record: MigrationRecord): Promise<void> {
  await writeFileAtomic(file(host, record.migrationId), JSON.stringify(record));
}

/** That the workload stands here, frozen or restored: a loss of power ends it as well, so clients do not wait for the disk. */
export function noteMigration(host: Host, record: MigrationRecord): void {
  writeFileAtomicNow(file(host, record.migrationId), JSON.stringify(record));
}

/** What was noted last is on the disk soon, and nobody waits for it. */
export function keepNoted(host: Host, id: string): void {
  syncWritten(file(host, id)).catch((caught: unknown) => host.options.log.warn({ err: caught, migration: id }, "migration.kept"));
}

export async function listMigrations(host: Host): Promise<MigrationRecord[]> {
  await mkdir(migrationsDir(host), { recursive: true });
  const found = await Promise.all((await readdir(migrationsDir(host))).map((id) => readMigration(host, id)));
  return found.filter((record) => record !== undefined);
}

/** Images and configuration of a migration that is over; its record stays for questions that come late. */
export async function dropImages(host: Host, id: string): Promise<void> {
  await rm(imagesDir(host, id), { recursive: true, force: true });
}

/** On a tmpfs: images are read back at once, and a disk would be in the freeze. */
export const imagesDir = (host: Host, id: string): string => join(host.memoryDir, id);

export const refOf = (ref: MigrationRef, side: "source" | "target") => ({
  migrationId: ref.migrationId,
  workload: ref.workload,
  epoch: ref.epoch,
  side,
});

/** Times a phase and reports it, also when it fails. */
export async function phase<T>(progress: Progress, name: string, work: (facts: Record<string, string>) => Promise<T>): Promise<T> {
  const startedAtMs = Date.now();
  const began = performance.now();
  const facts: Record<string, string> = {};
  const report = (outcome: Phase["outcome"]) =>
    progress.phase({ name, startedAtMs, durationMs: performance.now() - began, outcome, facts });
  try {
    const done = await work(facts);
    report("ok");
    return done;
  } catch (caught) {
    report("failed");
    throw caught;
  }
}
