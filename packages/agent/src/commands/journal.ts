// What this node has been told to do and what came of it. A command is on disk before it begins and its result before it is sent, so
// that the same id is done once, whatever dies when. Beside it the numbers that fence off an old control plane: the highest epoch of
// each workload, the highest fence of each migration, and the highest term. One record log, rewritten when it has grown; what was acknowledged is kept
// for a while, since a control plane that lost its own memory may ask again.
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type CommandResult, CommandResultSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { faultpoint, type Logger } from "@aether/kit";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { z } from "zod";
import { openRecordLog, type RecordLog } from "../disk/record-log.ts";

/** What of a command must be known before it begins. */
export interface CommandHead {
  readonly id: string;
  readonly action: string;
  readonly workload: string;
  /** The epoch that this command makes known: a RESUME's is the new one. */
  readonly epoch: number;
  readonly migrationId: string;
  readonly fence: number;
  readonly term: number;
}

export type JournalEntry =
  | { readonly head: CommandHead; readonly state: "running" }
  | { readonly head: CommandHead; readonly state: "finished"; readonly result: CommandResult; readonly isAcked: boolean };

export interface CommandJournal {
  find(id: string): JournalEntry | undefined;
  /**
   * From now on this id is never begun again; raises the epoch and the fence that are known. On the disk when it returns, unless it may
   * be repeated without harm: then a kill of this process still leaves it, and only a loss of power does not.
   */
  begin(head: CommandHead, isRepeatable?: boolean): Promise<void>;
  /** On the disk when it returns, unless a loss of power makes it void: then a kill of this process leaves it. A refusal may finish without a beginning. */
  finish(head: CommandHead, result: CommandResult, isVoidWithoutPower?: boolean): Promise<void>;
  /** The control plane has stored this result. Safe to repeat. */
  ack(id: string): Promise<void>;
  /** Begun, and no result: after a restart these were interrupted. */
  running(): readonly CommandHead[];
  /** Results that nobody acknowledged, oldest first. */
  unacknowledged(): readonly CommandResult[];
  highestEpoch(workload: string): number;
  highestFence(migrationId: string): number;
  highestTerm(): number;
  /** Highest epoch of every workload that this node has seen. */
  epochs(): Readonly<Record<string, number>>;
  close(): Promise<void>;
}

export interface JournalOptions {
  readonly dir: string;
  readonly log: Logger;
  /** Acknowledged results that are kept. Default 256. */
  readonly keepAcknowledged?: number;
  /** The file is rewritten when it is larger than this and twice what it was after the last time. Default 1 MiB. */
  readonly rewriteBytes?: number;
}

const headSchema = z.object({
  id: z.string(),
  action: z.string(),
  workload: z.string(),
  epoch: z.number(),
  migrationId: z.string(),
  fence: z.number(),
  term: z.number().default(0),
});
const recordSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("begin"), head: headSchema }),
  z.object({ kind: z.literal("finish"), head: headSchema, result: z.base64() }),
  z.object({ kind: z.literal("ack"), id: z.string() }),
  z.object({
    kind: z.literal("known"),
    epochs: z.record(z.string(), z.number()),
    fences: z.record(z.string(), z.number()),
    term: z.number().default(0),
  }),
]);
type JournalRecord = z.infer<typeof recordSchema>;

/** How many migrations' fences are remembered: more than can be in flight on one node by far. */
const maxFences = 512;

/** Opens or makes the journal. Throws the system's error when the directory cannot be written: an agent without memory must not act. */
export async function openCommandJournal(options: JournalOptions): Promise<CommandJournal> {
  const { dir, log } = options;
  const path = join(dir, "commands.log");
  const rewriteBytes = options.rewriteBytes ?? 1 << 20;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const entries = new Map<string, JournalEntry>();
  const epochs = new Map<string, number>();
  const fences = new Map<string, number>();
  let term = 0;

  const learn = (head: CommandHead) => {
    term = Math.max(term, head.term);
    if (head.workload !== "") epochs.set(head.workload, Math.max(head.epoch, epochs.get(head.workload) ?? 0));
    if (head.migrationId === "") return;
    const fence = Math.max(head.fence, fences.get(head.migrationId) ?? 0);
    fences.delete(head.migrationId); // the map's order is that of use
    fences.set(head.migrationId, fence);
    const oldest = fences.keys().next().value;
    if (fences.size > maxFences && oldest !== undefined) fences.delete(oldest);
  };

  const apply = (record: JournalRecord) => {
    if (record.kind === "begin") {
      entries.set(record.head.id, { head: record.head, state: "running" });
      learn(record.head);
    } else if (record.kind === "finish") {
      const result = fromBinary(CommandResultSchema, Buffer.from(record.result, "base64"));
      entries.delete(record.head.id); // the map's order is that of finishing
      entries.set(record.head.id, { head: record.head, state: "finished", result, isAcked: false });
    } else if (record.kind === "ack") {
      const entry = entries.get(record.id);
      if (entry?.state === "finished") entries.set(record.id, { ...entry, isAcked: true });
    } else {
      term = Math.max(term, record.term);
      for (const [workload, epoch] of Object.entries(record.epochs)) epochs.set(workload, Math.max(epoch, epochs.get(workload) ?? 0));
      for (const [id, fence] of Object.entries(record.fences)) fences.set(id, Math.max(fence, fences.get(id) ?? 0));
    }
  };

  const read = (payload: Buffer) => {
    const parsed = recordSchema.safeParse(JSON.parse(payload.toString("utf8")));
    if (parsed.success) apply(parsed.data);
    else
      log.error({ path, issue: parsed.error.issues[0]?.message }, "a record of the command journal is not understood; it is passed over");
  };

  await rm(`${path}.new`, { force: true });
  const opened = await openRecordLog(path, read);
  if (opened.tornBytes > 0) log.warn({ path, tornBytes: opened.tornBytes }, "the command journal ended in a torn record; it was cut off");
  let file: RecordLog = opened;
  let bytesAfterRewrite = 0;
  let tail: Promise<unknown> = Promise.resolve();

  const forgetOld = () => {
    const acked = [...entries.values()].filter((entry) => entry.state === "finished" && entry.isAcked);
    for (const entry of acked.slice(0, Math.max(0, acked.length - (options.keepAcknowledged ?? 256)))) entries.delete(entry.head.id);
  };

  async function rewrite(): Promise<void> {
    const fresh = await openRecordLog(`${path}.new`, () => undefined);
    try {
      const put = (record: JournalRecord) => fresh.append(encode(record), false);
      await put({ kind: "known", epochs: Object.fromEntries(epochs), fences: Object.fromEntries(fences), term });
      for (const entry of entries.values()) {
        if (entry.state === "running") await put({ kind: "begin", head: entry.head });
        else {
          await put({ kind: "finish", head: entry.head, result: textOf(entry.result) });
          if (entry.isAcked) await put({ kind: "ack", id: entry.head.id });
        }
      }
      await fresh.sync();
      await faultpoint("journal.before_rename");
      await rename(`${path}.new`, path);
    } catch (caught) {
      await fresh.close();
      await rm(`${path}.new`, { force: true });
      throw caught;
    }
    const old = file;
    file = fresh; // from the rename on, what goes to the old one is lost
    bytesAfterRewrite = file.bytes();
    const directory = await open(dir, "r");
    await directory.sync().finally(() => directory.close());
    await old.close();
  }

  /** The record is kept already: a disk that has no room for a second file must not make it a failure. */
  const rewriteIfLarge = async (): Promise<void> => {
    if (file.bytes() <= rewriteBytes || file.bytes() <= 2 * bytesAfterRewrite) return;
    await rewrite().catch((cause: unknown) => {
      bytesAfterRewrite = file.bytes(); // not again for each record
      log.error({ err: cause, path }, "the command journal cannot be rewritten; it goes on growing");
    });
  };

  const write = (record: JournalRecord, isDurable: boolean): Promise<void> => {
    const next = tail.then(async () => {
      await file.append(encode(record), isDurable);
      apply(record);
      forgetOld();
      await rewriteIfLarge();
    });
    tail = next.catch(() => undefined); // the caller of `next` hears it
    return next;
  };

  return {
    find: (id) => entries.get(id),
    begin: (head, isRepeatable = false) => write({ kind: "begin", head }, !isRepeatable),
    finish: (head, result, isVoidWithoutPower = false) => write({ kind: "finish", head, result: textOf(result) }, !isVoidWithoutPower),
    async ack(id) {
      const entry = entries.get(id);
      if (entry?.state === "finished" && !entry.isAcked) await write({ kind: "ack", id }, false);
    },
    running: () => [...entries.values()].filter((entry) => entry.state === "running").map((entry) => entry.head),
    unacknowledged: () => [...entries.values()].flatMap((entry) => (entry.state === "finished" && !entry.isAcked ? [entry.result] : [])),
    highestEpoch: (workload) => epochs.get(workload) ?? 0,
    highestFence: (migrationId) => fences.get(migrationId) ?? 0,
    highestTerm: () => term,
    epochs: () => Object.fromEntries(epochs),
    async close() {
      await tail;
      await file.close();
    },
  };
}

const textOf = (result: CommandResult) => Buffer.from(toBinary(CommandResultSchema, result)).toString("base64");
const encode = (record: JournalRecord) => Buffer.from(JSON.stringify(record));
