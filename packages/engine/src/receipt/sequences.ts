// Where each established TCP connection stands: `sent` is the number of the next byte that the program will write, `received` that of the next one expected
// of the peer (modulo 2^32, as in the segments). On the source as criu's checkpoint holds them, on the target as the kernel has them after the restore:
// a byte lost or doubled between program and network would show here.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { type StandBy, standBy } from "@aether/kit";
import { z } from "zod";
import { type Fields, fieldsOf, messagesOf, numberOf } from "../checkpoint/image-file.ts";
import type { Host } from "../host.ts";
import { freezerDir } from "../runtime/cgroup.ts";

interface Position {
  readonly local: string;
  readonly remote: string;
  readonly sent: number;
  readonly received: number;
}

const leafOf = ({ local, remote, sent, received }: Position): string => `${local} ${remote} sent=${sent} received=${received}`;

const established = 1; // enum tcp_state of the kernel
const inet = 2; // AF_INET

/** `words` as they lie in memory: an address is in the network's byte order, and read as numbers of this machine. */
function endpoint(family: number, words: readonly number[], port: number): string {
  if (family !== inet) return `[${words.map((word) => word.toString(16).padStart(8, "0")).join("")}]:${port}`;
  const [word = 0] = words;
  return `${[0, 8, 16, 24].map((shift) => (word >>> shift) & 0xff).join(".")}:${port}`;
}

/** Of a checkpoint: files.img says which sockets there are, a tcp-stream image of each where it stands. Throws CHECKPOINT_FAILED when one is not understood. */
export function sequencesInImages(dir: string): string[] {
  const leaves: string[] = [];
  try {
    const streams = new Set(readdirSync(dir).filter((name) => name.startsWith("tcp-stream-")));
    if (streams.size === 0) return leaves;
    for (const message of messagesOf(readFileSync(join(dir, "files.img")))) {
      const [inner] = fieldsOf(message).get(4) ?? []; // images/fdinfo.proto: file_entry.isk
      if (!Buffer.isBuffer(inner)) continue;
      const socket = fieldsOf(inner); // images/sk-inet.proto
      const name = `tcp-stream-${(numberOf(socket, 2) ?? 0).toString(16)}.img`;
      if (numberOf(socket, 6) !== established || !streams.has(name)) continue;
      const [first = Buffer.alloc(0)] = messagesOf(readFileSync(join(dir, name)));
      const stream = fieldsOf(first); // images/tcp-stream.proto
      const [received, sent] = [numberOf(stream, 2), numberOf(stream, 4)];
      if (received === undefined || sent === undefined) throw new Error(`${name} has no sequence numbers`);
      const family = numberOf(socket, 3) ?? 0;
      const end = (address: number, port: number) => endpoint(family, wordsOf(socket, address), numberOf(socket, port) ?? 0);
      leaves.push(leafOf({ local: end(11, 7), remote: end(12, 8), sent, received }));
    }
  } catch (cause) {
    throw fault("CHECKPOINT_FAILED", "the positions of the TCP connections cannot be read from the checkpoint", { cause });
  }
  return leaves;
}

const wordsOf = (fields: Fields, field: number): number[] =>
  (fields.get(field) ?? []).flatMap((value) => (typeof value === "bigint" ? [Number(value)] : []));

/** A program that is ready to ask the kernel, so that a restore waits for nothing but the asking. */
export async function readySequences(host: Host, workload: string): Promise<StandBy> {
  const procs = join(await freezerDir(host, workload), "cgroup.procs");
  return standBy(host.options.tools.native, ["socket-sequences", "--procs", procs], { maxOutputBytes: 16 << 20 });
}

const position = z.object({ local: z.string(), remote: z.string(), sent: z.number(), received: z.number() });

/** Of processes that are stopped. Throws TOOL_FAILED: what cannot be read is not taken for equal. */
export async function sequencesInKernel(ready: StandBy, signal: AbortSignal): Promise<string[]> {
  const { stdout } = await ready.go("now\n", { deadlineMs: 10_000, signal });
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => leafOf(position.parse(JSON.parse(line))));
}
