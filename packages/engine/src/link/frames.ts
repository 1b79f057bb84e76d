// What goes over a link between two engines: JSON lines of bounded length, then raw bytes whose length a line has told.
import type { Readable, Writable } from "node:stream";
import { fault } from "@aether/contract";

const maxLineBytes = 1 << 20;

/** Reads lines and counted bytes from a stream, in order. Throws TRANSFER_FAILED when the stream ends early. */
export class LinkReader {
  readonly #stream: Readable;
  readonly #iterator: AsyncIterator<Buffer>;
  #pending: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.#stream = stream;
    this.#iterator = stream.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  }

  async #more(): Promise<void> {
    const next = await this.#iterator.next().catch((cause: unknown) => {
      throw fault("TRANSFER_FAILED", "the link broke", { cause });
    });
    if (next.done) throw fault("TRANSFER_FAILED", "the link ended early");
    this.#pending = this.#pending.length === 0 ? next.value : Buffer.concat([this.#pending, next.value]);
  }

  /** One JSON line. Throws TRANSFER_FAILED for one that is longer than `mostBytes`. */
  async line(mostBytes = maxLineBytes): Promise<unknown> {
    for (;;) {
      const end = this.#pending.indexOf(10);
      if (end > mostBytes || (end < 0 && this.#pending.length > mostBytes))
        throw fault("TRANSFER_FAILED", "the link carried a line that is too long");
      if (end >= 0) {
        const text = this.#pending.toString("utf8", 0, end);
        this.#pending = this.#pending.subarray(end + 1);
        try {
          return JSON.parse(text);
        } catch (cause) {
          throw fault("TRANSFER_FAILED", "the link carried a line that is not JSON", { cause });
        }
      }
      await this.#more();
    }
  }

  /** Everything that follows, raw. The stream must not be read otherwise: the reader holds what came with the last line. */
  async *rest(): AsyncGenerator<Buffer> {
    if (this.#pending.length > 0) yield this.#pending;
    this.#pending = Buffer.alloc(0);
    for (;;) {
      const next = await this.#iterator.next();
      if (next.done) return;
      yield next.value;
    }
  }

  /** The stream itself from where the reader stands, which reads nothing any more. For bulk: reading by chunks costs as much as deciphering. */
  async detach(): Promise<Readable> {
    await this.#iterator.return?.();
    if (this.#pending.length > 0) this.#stream.unshift(this.#pending);
    return this.#stream;
  }

  /** Exactly `count` bytes, in one piece. */
  async exactly(count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for await (const part of this.bytes(count)) parts.push(part);
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  }

  /** Exactly `count` bytes, as they come. */
  async *bytes(count: number): AsyncGenerator<Buffer> {
    let left = count;
    while (left > 0) {
      if (this.#pending.length === 0) await this.#more();
      const part = this.#pending.subarray(0, left);
      this.#pending = this.#pending.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }
}

/** Writes with backpressure. Throws TRANSFER_FAILED when the stream is gone. */
export async function write(stream: Writable, data: string | Uint8Array): Promise<void> {
  if (stream.destroyed) throw fault("TRANSFER_FAILED", "the link is closed");
  if (stream.write(data)) return;
  await new Promise<void>((resolve, reject) => {
    const settle = (done: () => void) => () => {
      stream.off("drain", drained);
      stream.off("close", closed);
      stream.off("error", closed);
      done();
    };
    const drained = settle(resolve);
    const closed = settle(() => reject(fault("TRANSFER_FAILED", "the link broke while sending")));
    stream.once("drain", drained);
    stream.once("close", closed);
    stream.once("error", closed);
  });
}

/** Resolves when the bytes are not needed any more, so that their room can be used again. Throws TRANSFER_FAILED. */
export function writeThrough(stream: Writable, data: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(data, (cause) => {
      if (cause) reject(fault("TRANSFER_FAILED", "the link broke while sending", { cause }));
      else resolve();
    });
  });
}

export const writeLine = (stream: Writable, value: unknown): Promise<void> => write(stream, `${JSON.stringify(value)}\n`);
