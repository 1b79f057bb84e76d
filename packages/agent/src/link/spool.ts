// What must reach the control plane waits here until it is acknowledged, also over a kill -9, a full disk and days without a session.
// Segments of records (disk/record-log.ts) that only grow; an acknowledgement is a record too. The oldest segment goes when nothing in it
// is waited for. Bounded in bytes: when the bound is reached, the oldest telemetry is dropped before any signal. When the disk refuses,
// a record lives in memory: a notice is sent even from a node without a writable disk.
import { mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock, Logger } from "@aether/kit";
import { openRecordLog, type RecordLog } from "../disk/record-log.ts";

/** Signals are kept until acknowledged; telemetry is dropped, oldest first, when there is no room. */
export type SpoolKind = "signal" | "telemetry";

export interface SpooledRecord {
  readonly kind: SpoolKind;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

export interface Spool {
  /** The highest sequence ever given to a record of this kind. */
  lastSequence(kind: SpoolKind): number;
  /** Keeps a record; a signal is on the disk when this returns. A sequence that was seen changes nothing. */
  append(kind: SpoolKind, sequence: number, payload: Uint8Array): Promise<void>;
  /** What is not acknowledged and above `after`, in the order of sequences. */
  pending(kind: SpoolKind, after?: number): Promise<SpooledRecord[]>;
  /** Forgets one record. Safe to repeat, and for a sequence that is not here. */
  ack(kind: SpoolKind, sequence: number): Promise<void>;
  /** Bytes on disk. */
  bytes(): number;
  close(): Promise<void>;
}

export interface SpoolOptions {
  readonly dir: string;
  readonly maxBytes: number;
  /** A segment is closed when it is this large. Default 256 KiB. */
  readonly segmentBytes?: number;
  readonly log: Logger;
  readonly clock: Clock;
}

interface Place {
  readonly segment: Segment | undefined;
  readonly offset: number;
  /** Where the disk refused. */
  readonly inMemory?: Uint8Array;
}

interface Segment {
  readonly id: number;
  readonly path: string;
  readonly log: RecordLog;
}

const marks = { signal: 1, telemetry: 2 } as const;
const startMark = 0;
const ackMark = 0x80;
const kinds: readonly SpoolKind[] = ["signal", "telemetry"];

/**
 * Opens or makes the spool. A new one counts from the present time in ms, so that a node whose disk was lost never reuses a sequence,
 * which the control plane would take for a repetition.
 */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const { dir, log } = options;
  const segmentBytes = options.segmentBytes ?? 256 * 1024;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const waiting: Record<SpoolKind, Map<number, Place>> = { signal: new Map(), telemetry: new Map() };
  const last: Record<SpoolKind, number> = { signal: 0, telemetry: 0 };
  const segments: Segment[] = [];
  let tail: Promise<unknown> = Promise.resolve();

  const ids = (await readdir(dir)).flatMap((name) => /^(\d{12})\.seg$/.exec(name)?.[1] ?? []).sort();
  for (const id of ids) {
    const path = join(dir, `${id}.seg`);
    const found: { mark: number; sequence: number; other: number; offset: number }[] = [];
    const opened = await openRecordLog(path, (payload, offset) => {
      if (payload.length >= 17) {
        found.push({
          mark: payload.readUInt8(0),
          sequence: Number(payload.readBigUInt64LE(1)),
          other: Number(payload.readBigUInt64LE(9)),
          offset,
        });
      }
    });
    if (opened.tornBytes > 0) log.warn({ path, tornBytes: opened.tornBytes }, "the spool ended in a torn record; it was cut off");
    const segment: Segment = { id: Number(id), path, log: opened };
    segments.push(segment);
    for (const { mark, sequence, other, offset } of found) {
      if (mark === startMark) {
        last.signal = Math.max(last.signal, sequence);
        last.telemetry = Math.max(last.telemetry, other);
      }
      for (const kind of kinds) {
        if ((mark & ~ackMark) !== marks[kind]) continue;
        last[kind] = Math.max(last[kind], sequence);
        if (mark & ackMark) waiting[kind].delete(sequence);
        else waiting[kind].set(sequence, { segment, offset });
      }
    }
  }
  if (last.signal === 0) last.signal = options.clock.nowMs();
  if (last.telemetry === 0) last.telemetry = options.clock.nowMs();

  const totalBytes = () => segments.reduce((sum, segment) => sum + segment.log.bytes(), 0);

  async function addSegment(): Promise<Segment> {
    const id = (segments.at(-1)?.id ?? 0) + 1;
    const path = join(dir, `${String(id).padStart(12, "0")}.seg`);
    const opened = await openRecordLog(path, () => undefined);
    try {
      await opened.append(encode(startMark, last.signal, last.telemetry), true);
      await syncDirectory(dir);
    } catch (caught) {
      await opened.close();
      await rm(path, { force: true });
      throw caught;
    }
    const segment: Segment = { id, path, log: opened };
    segments.push(segment);
    return segment;
  }

  async function activeSegment(): Promise<Segment> {
    const active = segments.at(-1);
    return active !== undefined && active.log.bytes() < segmentBytes ? active : await addSegment();
  }

  async function write(kind: SpoolKind, sequence: number, payload: Uint8Array): Promise<void> {
    try {
      const segment = await activeSegment();
      const { offset } = await segment.log.append(encode(marks[kind], sequence, 0, payload), kind === "signal");
      waiting[kind].set(sequence, { segment, offset });
    } catch (cause) {
      if (kind === "telemetry") throw cause;
      log.error({ err: cause, sequence }, "the spool cannot be written; this signal is kept in memory alone");
      waiting[kind].set(sequence, { segment: undefined, offset: 0, inMemory: payload });
    }
  }

  async function dropOldest(): Promise<void> {
    const oldest = segments.shift();
    await oldest?.log.close();
    if (oldest) await rm(oldest.path, { force: true });
  }

  /** Undefined where the disk has lost it: then it is given up, since it must not keep back those that came after it. */
  async function readKept(kind: SpoolKind, sequence: number, place: Place): Promise<Uint8Array | undefined> {
    try {
      return await readPayload(place);
    } catch (cause) {
      log.error({ err: cause, kind, sequence }, "a record of the spool cannot be read; it is given up");
      waiting[kind].delete(sequence);
      return undefined;
    }
  }

  const livesIn = (segment: Segment, kind: SpoolKind) => [...waiting[kind]].filter(([, place]) => place.segment === segment);

  /** Frees what nobody waits for; over the bound, moves the signals of the oldest segment on and lets its telemetry go. */
  async function tidy(): Promise<void> {
    while (segments.length > 1) {
      const oldest = segments[0];
      if (oldest === undefined || kinds.some((kind) => livesIn(oldest, kind).length > 0)) break;
      await dropOldest();
    }
    for (let rounds = segments.length; totalBytes() > options.maxBytes && segments.length > 1; rounds--) {
      const oldest = segments[0];
      if (oldest === undefined) return;
      for (const [sequence] of livesIn(oldest, "telemetry")) waiting.telemetry.delete(sequence);
      const signals = livesIn(oldest, "signal");
      if (rounds > 0) {
        for (const [sequence, place] of signals) {
          const payload = await readKept("signal", sequence, place);
          if (payload !== undefined) await write("signal", sequence, payload);
        }
      } else {
        log.error({ dropped: signals.length }, "the spool is full of signals; the oldest are dropped");
        for (const [sequence] of signals) waiting.signal.delete(sequence);
      }
      await dropOldest();
    }
  }

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const next = tail.then(work);
    tail = next.catch(() => undefined); // the caller of `next` hears it
    return next;
  };

  // Made now, so that the count that a new spool begins with is on disk before the first sequence is given away.
  if (segments.length === 0) {
    await addSegment().catch((cause: unknown) =>
      log.error({ err: cause, dir }, "the spool cannot be written; signals are kept in memory alone"),
    );
  }

  return {
    lastSequence: (kind) => last[kind],
    append: (kind, sequence, payload) =>
      inTurn(async () => {
        if (sequence <= last[kind]) return;
        last[kind] = sequence;
        await write(kind, sequence, payload);
        await tidy();
      }),
    pending: (kind, after = 0) =>
      inTurn(async () => {
        const places = [...waiting[kind]].filter(([sequence]) => sequence > after).sort(([a], [b]) => a - b);
        const read = places.map(async ([sequence, place]): Promise<SpooledRecord[]> => {
          const payload = await readKept(kind, sequence, place);
          return payload === undefined ? [] : [{ kind, sequence, payload }];
        });
        return (await Promise.all(read)).flat();
      }),
    ack: (kind, sequence) =>
      inTurn(async () => {
        const place = waiting[kind].get(sequence);
        if (place === undefined) return;
        waiting[kind].delete(sequence);
        if (place.segment === undefined) return;
        // Not synced: a lost acknowledgement means that the record is sent again, and its sequence tells that it is a repetition.
        await (await activeSegment()).log.append(encode(marks[kind] | ackMark, sequence, 0), false);
        await tidy();
      }),
    bytes: totalBytes,
    close: () =>
      inTurn(async () => {
        for (const segment of segments) await segment.log.close();
      }),
  };
}

function encode(mark: number, sequence: number, other: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const record = Buffer.alloc(17 + payload.length);
  record.writeUInt8(mark, 0);
  record.writeBigUInt64LE(BigInt(sequence), 1);
  record.writeBigUInt64LE(BigInt(other), 9);
  record.set(payload, 17);
  return record;
}

async function readPayload(place: Place): Promise<Uint8Array> {
  if (place.inMemory !== undefined || place.segment === undefined) return place.inMemory ?? new Uint8Array();
  return (await place.segment.log.read(place.offset)).subarray(17);
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, "r");
  await handle.sync().finally(() => handle.close());
}
