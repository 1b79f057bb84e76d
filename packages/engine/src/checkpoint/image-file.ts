// Reads criu's images: one or two magic numbers, then protocol-buffer messages, each with its length as 32 bits before it (criu, images/*.proto). Numbers and
// parts of a message by their field; nothing more is needed here than a few of them.
const commonMagic = 0x54564319; // images/image.h: IMG_COMMON_MAGIC comes first in images since criu 1.6

/** Values of each field in the order in which they came: numbers of kind varint, bytes of what has a length. */
export type Fields = ReadonlyMap<number, readonly (bigint | Buffer)[]>;

function varint(bytes: Buffer, at: number): [bigint, number] {
  let value = 0n;
  for (let shift = 0n; ; shift += 7n) {
    const byte = bytes[at++];
    if (byte === undefined) throw new Error("a message ends early");
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return [value, at];
  }
}

/** Fields of fixed width are passed over. Throws where it is no message. */
export function fieldsOf(message: Buffer): Fields {
  const fields = new Map<number, (bigint | Buffer)[]>();
  const add = (field: number, value: bigint | Buffer) => {
    const before = fields.get(field);
    if (before === undefined) fields.set(field, [value]);
    else before.push(value);
  };
  for (let at = 0; at < message.length; ) {
    let tag: bigint;
    [tag, at] = varint(message, at);
    const field = Number(tag >> 3n);
    const wire = Number(tag & 7n);
    if (wire === 0) {
      let value: bigint;
      [value, at] = varint(message, at);
      add(field, value);
    } else if (wire === 2) {
      let length: bigint;
      [length, at] = varint(message, at);
      if (at + Number(length) > message.length) throw new Error("a message ends early");
      add(field, message.subarray(at, at + Number(length)));
      at += Number(length);
    } else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else throw new Error(`a field of kind ${wire}`);
  }
  return fields;
}

/** The last value of a field as a number (2^53 and more lose precision); undefined where there is none. */
export function numberOf(fields: Fields, field: number): number | undefined {
  const value = fields.get(field)?.at(-1);
  return typeof value === "bigint" ? Number(value) : undefined;
}

/** The messages of an image. */
export function messagesOf(image: Buffer): Buffer[] {
  let at = image.readUInt32LE(0) === commonMagic ? 8 : 4;
  const found: Buffer[] = [];
  while (at + 4 <= image.length) {
    const length = image.readUInt32LE(at);
    found.push(image.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}
