// The one on-disk format of the agent: an append-only file of records, each with its length and a CRC-32, so that a kill -9 at any
// byte leaves a readable prefix. A torn or damaged record ends the file there: it is cut off when the file is opened for appending.
import { writeSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { crc32 } from "node:zlib";

const headerBytes = 8;
/** Larger records are refused when written and taken for damage when read. */
const maxRecordBytes = 16 * 1024 * 1024;

export interface RecordLog {
  /** Bytes of the file now. */
  bytes(): number;
  /** Appends one record. With `isDurable`, it is on the disk when this returns. Throws the system's error; the file then ends where it ended. */
  append(payload: Uint8Array, isDurable: boolean): Promise<{ offset: number }>;
  /** Reads back a record by the offset that `append` or the opening gave. */
  read(offset: number): Promise<Uint8Array>;
  /** All that was appended is on the disk when this returns. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Splits what a file holds into whole records; `validBytes` is where the first torn one begins. */
export function parseRecords(data: Buffer): { records: { offset: number; payload: Buffer }[]; validBytes: number } {
  const records: { offset: number; payload: Buffer }[] = [];
  let at = 0;
  while (at + headerBytes <= data.length) {
    const length = data.readUInt32LE(at);
    const end = at + headerBytes + length;
    if (length > maxRecordBytes || end > data.length) break;
    const payload = data.subarray(at + headerBytes, end);
    if (crc32(payload) !== data.readUInt32LE(at + 4)) break;
    records.push({ offset: at, payload });
    at = end;
  }
  return { records, validBytes: at };
}

/** Opens or makes the file (0600), hands each whole record to `onRecord`, and cuts off what follows the last whole one. */
export async function openRecordLog(
  path: string,
  onRecord: (payload: Buffer, offset: number) => void,
): Promise<RecordLog & { readonly tornBytes: number }> {
  const file = await open(path, "a+", 0o600);
  try {
    const data = await file.readFile();
    const { records, validBytes } = parseRecords(data);
    for (const { offset, payload } of records) onRecord(payload, offset);
    if (validBytes < data.length) {
      await file.truncate(validBytes);
      await file.sync();
    }
    return { ...createLog(file, validBytes), tornBytes: data.length - validBytes };
  } catch (caught) {
    await file.close();
    throw caught;
  }
}

/** Into the kernel's memory, at once: the way over Node's threads takes longer, and the freeze of a move waits for some of these records. */
function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

function createLog(file: FileHandle, startBytes: number): RecordLog {
  let size = startBytes;
  let tail: Promise<unknown> = Promise.resolve();
  const append = async (payload: Uint8Array, isDurable: boolean) => {
    if (payload.length > maxRecordBytes) throw new RangeError(`a record of ${payload.length} bytes is over the limit`);
    const framed = Buffer.alloc(headerBytes + payload.length);
    framed.writeUInt32LE(payload.length, 0);
    framed.writeUInt32LE(crc32(payload), 4);
    framed.set(payload, headerBytes);
    const offset = size;
    try {
      writeAll(file.fd, framed);
      if (isDurable) await file.datasync();
      size += framed.length;
      return { offset };
    } catch (caught) {
      await file.truncate(offset); // a half-written record (disk full) must not hide the ones after it
      throw caught;
    }
  };
  return {
    bytes: () => size,
    append(payload, isDurable) {
      const next = tail.then(() => append(payload, isDurable));
      tail = next.catch(() => undefined); // the caller hears it; the next record is not its concern
      return next;
    },
    async read(offset) {
      const header = Buffer.alloc(headerBytes);
      await file.read(header, 0, headerBytes, offset);
      const payload = Buffer.alloc(Math.min(header.readUInt32LE(0), maxRecordBytes));
      await file.read(payload, 0, payload.length, offset + headerBytes);
      if (crc32(payload) !== header.readUInt32LE(4)) throw new Error(`the record at ${offset} does not match its checksum`);
      return payload;
    },
    async sync() {
      await tail;
      await file.datasync();
    },
    async close() {
      await tail;
      await file.close();
    },
  };
}
