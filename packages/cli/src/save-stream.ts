// A stream of bytes with progress into a file: it has its name only when it is whole.
import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { fault } from "@aether/contract";
import { isErrno } from "@aether/kit";

interface Chunk {
  readonly data: Uint8Array;
  readonly part: string;
  readonly partsDone: number;
  readonly partsTotal: number;
}

const sayEveryMs = 2_000;

/** Answers its size in bytes. The file is for its owner alone. Throws INVALID_ARGUMENT where it cannot be written. */
export async function saveStream(file: string, chunks: AsyncIterable<Chunk>, say: (text: string) => void): Promise<number> {
  const draft = `${file}.${randomBytes(4).toString("hex")}.part`;
  let size = 0;
  let saidMs = performance.now();
  async function* bytes() {
    for await (const { data, part, partsDone, partsTotal } of chunks) {
      size += data.length;
      if (data.length > 0) yield data;
      if (performance.now() - saidMs < sayEveryMs) continue;
      saidMs = performance.now();
      say(`${part}: ${partsDone} of ${partsTotal || "?"}, ${size} bytes so far`);
    }
  }
  try {
    // Never one that is there already: in a folder that others write in it might be a link of theirs.
    await pipeline(bytes, createWriteStream(draft, { flags: "wx", mode: 0o600 }));
    await rename(draft, file);
    return size;
  } catch (cause) {
    await rm(draft, { force: true });
    if (cause instanceof Error && isErrno(cause, "EACCES", "EISDIR", "ENOENT", "ENOSPC", "ENOTDIR", "EROFS"))
      throw fault("INVALID_ARGUMENT", `${file} cannot be written: ${cause.message}`, { cause });
    throw cause;
  }
}
