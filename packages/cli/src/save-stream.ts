// A stream of bytes with progress into a file: it has its name only when it is whole.
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { finished } from "node:stream/promises";

interface Chunk {
  readonly data: Uint8Array;
  readonly part: string;
  readonly partsDone: number;
  readonly partsTotal: number;
}

const sayEveryMs = 2_000;

/** Answers its size in bytes. The file is for its owner alone. */
export async function saveStream(file: string, chunks: AsyncIterable<Chunk>, say: (text: string) => void): Promise<number> {
  const draft = `${file}.part`;
  const out = createWriteStream(draft, { mode: 0o600 });
  let size = 0;
  let saidMs = performance.now();
  try {
    for await (const { data, part, partsDone, partsTotal } of chunks) {
      size += data.length;
      if (data.length > 0 && !out.write(data))
        await new Promise<void>((resolve, reject) => {
          out.once("drain", resolve);
          out.once("error", reject);
        });
      if (performance.now() - saidMs < sayEveryMs) continue;
      saidMs = performance.now();
      say(`${part}: ${partsDone} of ${partsTotal || "?"}, ${size} bytes so far`);
    }
    out.end();
    await finished(out);
    await rename(draft, file);
    return size;
  } catch (caught) {
    out.destroy();
    await rm(draft, { force: true });
    throw caught;
  }
}
