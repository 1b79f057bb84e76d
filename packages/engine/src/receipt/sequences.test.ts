// The checkpoint's side, from images as criu writes them. Against a kernel: tests/e2e/engine/move.test.ts.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { sequencesInImages } from "./sequences.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-sequences-"));
});
afterEach(() => rm(dir, { recursive: true }));

const varint = (value: number): number[] => (value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))]);
const message = (...fields: [number, number | Buffer][]): Buffer =>
  Buffer.concat(
    fields.map(([field, value]) =>
      typeof value === "number"
        ? Buffer.from([...varint(field * 8), ...varint(value)])
        : Buffer.concat([Buffer.from([...varint(field * 8 + 2), ...varint(value.length)]), value]),
    ),
  );
const image = (...messages: Buffer[]): Buffer => {
  const magic = Buffer.alloc(8);
  magic.writeUInt32LE(0x54564319);
  const length = (of: Buffer) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(of.length);
    return bytes;
  };
  return Buffer.concat([magic, ...messages.flatMap((one) => [length(one), one])]);
};
const socket = (inode: number, state: number, family: number, here: number[], there: number[]) =>
  message([1, 4], [2, inode], [4, message([1, inode], [2, inode], [3, family], [6, state], [7, 6379], [8, 40_000], ...here.map((word) => [11, word] as [number, number]), ...there.map((word) => [12, word] as [number, number]))]); // biome-ignore format: one socket
const word = (...bytes: number[]) => Buffer.from(bytes).readUInt32LE();

it("names both ends of each established connection, in the order of the network, and where it stands", async () => {
  const files = [
    message([1, 1], [2, 7], [3, message([1, 5])]), // a file
    socket(0x1f, 1, 2, [word(10, 0, 0, 1)], [word(10, 0, 0, 9)]),
    socket(0x20, 10, 2, [word(10, 0, 0, 1)], [0]), // listens
    socket(0x21, 1, 10, [0, 0, word(0, 0, 255, 255), word(10, 0, 0, 1)], [0, 0, word(0, 0, 255, 255), word(10, 0, 0, 9)]),
  ];
  await writeFile(join(dir, "files.img"), image(...files));
  await writeFile(join(dir, "tcp-stream-1f.img"), image(message([1, 0], [2, 4_294_967_295], [3, 5], [4, 7], [5, 0]), Buffer.from("queue")));
  await writeFile(join(dir, "tcp-stream-21.img"), image(message([1, 0], [2, 8], [3, 0], [4, 9])));
  expect(sequencesInImages(dir)).toEqual([
    "10.0.0.1:6379 10.0.0.9:40000 sent=7 received=4294967295",
    "[0000000000000000ffff00000100000a]:6379 [0000000000000000ffff00000900000a]:40000 sent=9 received=8",
  ]);
});

it("a checkpoint that is not understood is no checkpoint without connections", async () => {
  expect(sequencesInImages(dir)).toEqual([]);
  await writeFile(join(dir, "tcp-stream-1f.img"), image(message([1, 0])));
  await writeFile(join(dir, "files.img"), image(socket(0x1f, 1, 2, [1], [2])));
  expect(() => sequencesInImages(dir)).toThrow(/positions of the TCP connections/);
});
