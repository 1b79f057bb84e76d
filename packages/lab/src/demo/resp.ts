// The Redis serialization protocol (RESP 2), as much as a client and a small server need. Source: redis.io/docs/latest/develop/reference/protocol-spec.

export type Reply = string | number | null | RespError | readonly Reply[];

/** An error that the peer answered; the connection goes on. */
export class RespError {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

/** A command, as an array of bulk strings. */
export function encodeCommand(words: readonly string[]): Buffer {
  return Buffer.concat([Buffer.from(`*${words.length}\r\n`), ...words.map(encodeBulk)]);
}

/** A reply: numbers as integers, text as bulk strings, null as the null bulk string. */
export function encodeReply(reply: Reply): Buffer {
  if (typeof reply === "number") return Buffer.from(`:${reply}\r\n`);
  if (reply === null) return Buffer.from("$-1\r\n");
  if (typeof reply === "string") return encodeBulk(reply);
  if (reply instanceof RespError) return Buffer.from(`-${reply.message.replace(/[\r\n]/g, " ")}\r\n`);
  return Buffer.concat([Buffer.from(`*${reply.length}\r\n`), ...reply.map(encodeReply)]);
}

const encodeBulk = (text: string) => Buffer.from(`$${Buffer.byteLength(text)}\r\n${text}\r\n`);

/** Whole replies (or commands) out of chunks cut anywhere. Throws on bytes that are not RESP, or a value of more than 64 MiB. */
export function createRespReader(): { push(chunk: Uint8Array): Reply[] } {
  let pending: Buffer = Buffer.alloc(0);
  return {
    push(chunk) {
      pending = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk]);
      const replies: Reply[] = [];
      for (let at = 0; ; ) {
        const read = readReply(pending, at);
        if (read === undefined) {
          pending = pending.subarray(at);
          if (pending.length > maxBytes + 64) throw new Error("RESP value is too large");
          return replies;
        }
        replies.push(read.value);
        at = read.next;
      }
    },
  };
}

const maxBytes = 64 << 20;

/** One reply from `at` on, or undefined when it is not complete. */
function readReply(bytes: Buffer, at: number): { value: Reply; next: number } | undefined {
  const end = bytes.indexOf("\r\n", at);
  if (end === -1) {
    if (bytes.length - at > 65_536) throw new Error("RESP line is too long");
    return undefined;
  }
  const line = bytes.toString("utf8", at + 1, end);
  const next = end + 2;
  switch (bytes[at]) {
    case 0x2b: // +
      return { value: line, next };
    case 0x2d: // -
      return { value: new RespError(line), next };
    case 0x3a: // :
      return { value: integer(line), next };
    case 0x24: // $
      return readBulk(bytes, next, integer(line));
    case 0x2a: // *
      return readArray(bytes, next, integer(line));
    default:
      throw new Error(`not RESP: byte ${bytes[at]}`);
  }
}

function readBulk(bytes: Buffer, at: number, length: number): { value: Reply; next: number } | undefined {
  if (length === -1) return { value: null, next: at };
  if (length < 0 || length > maxBytes) throw new Error(`RESP length ${length}`);
  if (bytes.length < at + length + 2) return undefined;
  if (bytes[at + length] !== 0x0d || bytes[at + length + 1] !== 0x0a) throw new Error("RESP bulk string does not end where it says");
  return { value: bytes.toString("utf8", at, at + length), next: at + length + 2 };
}

function readArray(bytes: Buffer, at: number, length: number): { value: Reply; next: number } | undefined {
  if (length === -1) return { value: null, next: at };
  if (length < 0 || length > 1_048_576) throw new Error(`RESP length ${length}`);
  const items: Reply[] = [];
  let next = at;
  for (let i = 0; i < length; i++) {
    const item = readReply(bytes, next);
    if (item === undefined) return undefined;
    items.push(item.value);
    next = item.next;
  }
  return { value: items, next };
}

function integer(text: string): number {
  if (!/^-?\d{1,16}$/.test(text)) throw new Error(`RESP integer ${JSON.stringify(text.slice(0, 40))}`);
  return Number(text);
}
