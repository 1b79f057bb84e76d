// Reads a tar stream: ustar, pax (POSIX.1-2001) and the GNU long names, as layers of images have them. Written here because the kept libraries decode
// pax values as text, and file capabilities are bytes. Whatever is not understood is refused, never guessed.
import { fault } from "@aether/contract";

const block = 512;
/** Of a pax header or a long name: PATH_MAX and XATTR_SIZE_MAX with room. */
const maxHeaderBytes = 1 << 20;

export type TarType = "file" | "link" | "symlink" | "directory" | "char" | "block" | "fifo";

export interface TarEntry {
  readonly path: string;
  readonly type: TarType;
  /** Of a symbolic link its text, of a hard link the path of the other name. */
  readonly linkPath: string;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content that follow. */
  readonly size: number;
  readonly mtimeMs: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

const types: Readonly<Record<string, TarType>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "link",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  "6": "fifo",
};

const invalid = (why: string) => fault("ROOTFS_INVALID", `a layer is not a tar archive that can be read: ${why}`, { field: "spec.rootfs" });

/** Throws ROOTFS_INVALID. The body of each entry must be read before the next is asked for; what is left of it is skipped. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<{ entry: TarEntry; body: AsyncIterable<Buffer> }> {
  const reader = new BlockReader(source);
  let pax = new Map<string, Buffer>();
  let longName: string | undefined;
  let longLink: string | undefined;
  for (;;) {
    const header = await reader.take(block);
    if (header === undefined || header.every((byte) => byte === 0)) break;
    requireChecksum(header);
    const flag = String.fromCharCode(header[156] ?? 0);
    const size = sizeOf(pax, header);
    if (flag === "x" || flag === "g" || flag === "L" || flag === "K") {
      if (size > maxHeaderBytes) throw invalid("a header is longer than 1 MiB");
      const data = await reader.whole(size);
      if (flag === "x") pax = parsePax(data);
      else if (flag === "L") longName = text(untilNul(data));
      else if (flag === "K") longLink = text(untilNul(data));
      // Global headers of images hold a comment (git's commit id) and nothing that a file system knows.
      continue;
    }
    const type = types[flag];
    if (type === undefined) throw invalid(flag === "S" ? "sparse entries are not supported" : `entries of type ${JSON.stringify(flag)}`);
    if ([...pax.keys()].some((key) => key.startsWith("GNU.sparse."))) throw invalid("sparse entries are not supported");
    const entry: TarEntry = {
      path: paxText(pax, "path") ?? longName ?? nameOf(header),
      linkPath: paxText(pax, "linkpath") ?? longLink ?? text(untilNul(header.subarray(157, 257))),
      type: type === "file" && nameOf(header).endsWith("/") && size === 0 ? "directory" : type, // before ustar, a directory was a name with a slash
      mode: number(header, 100, 8) & 0o7777,
      uid: paxNumber(pax, "uid") ?? number(header, 108, 8),
      gid: paxNumber(pax, "gid") ?? number(header, 116, 8),
      size: type === "file" ? size : 0,
      mtimeMs: (paxNumber(pax, "mtime") ?? number(header, 136, 12)) * 1000,
      xattrs: new Map([...pax].flatMap(([key, value]) => (key.startsWith(xattrPrefix) ? [[key.slice(xattrPrefix.length), value]] : []))),
    };
    [pax, longName, longLink] = [new Map(), undefined, undefined];
    if (type !== "file" && type !== "link" && size > 0) throw invalid(`${entry.path} has content and is a ${type}`);
    const content = reader.body(type === "link" ? 0 : size);
    yield { entry, body: content };
    for await (const _ of content);
    await reader.skipPadding(type === "link" ? 0 : size);
  }
}

const xattrPrefix = "SCHILY.xattr.";

/** Gives exact numbers of bytes of a stream. */
class BlockReader {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #pending: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  async #more(): Promise<boolean> {
    const next = await this.#iterator.next();
    if (next.done) return false;
    const chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    return true;
  }

  /** `count` bytes, or undefined at the clean end of the stream. */
  async take(count: number): Promise<Buffer | undefined> {
    while (this.#pending.length < count) {
      if (await this.#more()) continue;
      if (this.#pending.length === 0) return undefined;
      throw invalid("it ends in the middle");
    }
    const taken = this.#pending.subarray(0, count);
    this.#pending = this.#pending.subarray(count);
    return taken;
  }

  async whole(size: number): Promise<Buffer> {
    const data = size === 0 ? Buffer.alloc(0) : Buffer.from((await this.take(size)) ?? Buffer.alloc(0));
    if (data.length !== size) throw invalid("it ends in the middle");
    await this.skipPadding(size);
    return data;
  }

  async *body(size: number): AsyncGenerator<Buffer> {
    let left = size;
    while (left > 0) {
      if (this.#pending.length === 0 && !(await this.#more())) throw invalid("it ends in the middle");
      const part = this.#pending.subarray(0, left);
      this.#pending = this.#pending.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }

  async skipPadding(size: number): Promise<void> {
    const padding = (block - (size % block)) % block;
    if (padding > 0 && (await this.take(padding)) === undefined) throw invalid("it ends in the middle");
  }
}

function requireChecksum(header: Buffer): void {
  let sum = 0;
  for (let i = 0; i < block; i++) sum += i >= 148 && i < 156 ? 32 : (header[i] ?? 0);
  if (sum !== number(header, 148, 8)) throw invalid("the checksum of a header is wrong");
}

const untilNul = (bytes: Buffer): Buffer => {
  const end = bytes.indexOf(0);
  return end === -1 ? bytes : bytes.subarray(0, end);
};

const utf8 = new TextDecoder("utf-8", { fatal: true });

function text(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw invalid(`the name ${JSON.stringify(bytes.toString("latin1").slice(0, 80))} is not UTF-8`);
  }
}

function nameOf(header: Buffer): string {
  const name = text(untilNul(header.subarray(0, 100)));
  const isUstar = header.toString("latin1", 257, 263) === "ustar\0"; // GNU's own format has other fields there
  const prefix = isUstar ? text(untilNul(header.subarray(345, 500))) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** Octal, or big-endian with the high bit set (GNU, for values that octal digits cannot hold). */
function number(header: Buffer, at: number, length: number): number {
  const field = header.subarray(at, at + length);
  const first = field[0] ?? 0;
  if ((first & 0x80) !== 0) {
    let value = BigInt(first & 0x7f);
    for (const byte of field.subarray(1)) value = value * 256n + BigInt(byte);
    if (first === 0xff || value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid("a number is negative or too large");
    return Number(value);
  }
  const digits = untilNul(field).toString("latin1").trim();
  if (!/^[0-7]*$/.test(digits)) throw invalid("a number is not octal");
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

const sizeOf = (pax: ReadonlyMap<string, Buffer>, header: Buffer): number => {
  const size = paxNumber(pax, "size") ?? number(header, 124, 12);
  if (!Number.isSafeInteger(size) || size < 0) throw invalid("the size of an entry is not a whole number");
  return size;
};

/** Records "LENGTH KEY=VALUE\n"; the value is bytes. */
function parsePax(data: Buffer): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(32, at);
    const length = Number(data.toString("latin1", at, space));
    const equals = data.indexOf(61, space);
    const end = at + length;
    if (space === -1 || !Number.isInteger(length) || length < 5 || equals === -1 || equals >= end || data[end - 1] !== 10)
      throw invalid("a pax header is not well formed");
    found.set(data.toString("utf8", space + 1, equals), data.subarray(equals + 1, end - 1));
    at = end;
  }
  return found;
}

function paxText(pax: ReadonlyMap<string, Buffer>, key: string): string | undefined {
  const value = pax.get(key);
  return value === undefined ? undefined : text(value);
}

function paxNumber(pax: ReadonlyMap<string, Buffer>, key: string): number | undefined {
  const value = pax.get(key)?.toString("latin1");
  if (value === undefined) return undefined;
  if (!/^-?\d{1,15}(\.\d+)?$/.test(value)) throw invalid(`${key} is not a number`);
  return Number(value);
}
