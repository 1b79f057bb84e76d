// Sockets that a checkpoint has no image for: kinds that criu does not know, and unix connections whose other end is not part of the workload.
import { run } from "@aether/kit";
import type { Finding } from "../engine.ts";
import { readProc } from "../runtime/process.ts";

/** Kinds of sockets in the network namespace of `pid`. */
export async function socketKindFindings(pid: number): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const [file, name] of [
    ["raw", "raw"],
    ["raw6", "raw"],
    ["sctp/eps", "SCTP"],
    ["dccp", "DCCP"],
  ] as const) {
    const lines = ((await readProc(pid, `net/${file}`)) ?? "").trim().split("\n").slice(1);
    if (lines.length > 0)
      found.push({
        code: "SOCKET_KIND",
        message: `a ${name} socket is open`,
        mend: "It cannot be checkpointed; close it before a move.",
        subject: `network namespace of process ${pid}`,
      });
  }
  return found;
}

export interface UnixPair {
  readonly inode: number;
  readonly peer: number;
  readonly path: string;
}

/**
 * Connected unix sockets as `ss -xnH` prints them: Netid State Recv-Q Send-Q Local:Inode Peer:Inode. A peer of 0 is one that has closed, or a
 * datagram socket that is connected to nobody.
 */
export function parseUnixPairs(text: string): UnixPair[] {
  const pairs: UnixPair[] = [];
  for (const line of text.split("\n")) {
    const [kind, state, , , path = "", inode, peerPath, peer] = line.trim().split(/\s+/);
    if (!kind?.startsWith("u_") || state !== "ESTAB" || Number(peer) === 0) continue;
    pairs.push({ inode: Number(inode), peer: Number(peer), path: path !== "*" ? path : (peerPath ?? "") });
  }
  return pairs;
}

/** @param own inodes of all sockets of the workload. Asks only where the namespace has a connected unix socket at all. */
export async function unixFindings(pid: number, own: ReadonlySet<number>, signal: AbortSignal): Promise<Finding[]> {
  const table = ((await readProc(pid, "net/unix")) ?? "").split("\n").slice(1);
  // Num RefCount Protocol Flags Type St Inode Path; state 03: connected.
  if (!table.some((line) => line.split(/\s+/)[5] === "03" && own.has(Number(line.split(/\s+/)[6])))) return [];
  const { stdout } = await run("nsenter", [`--net=/proc/${pid}/ns/net`, "ss", "-xnH"], {
    deadlineMs: 5_000,
    signal,
    maxOutputBytes: 8 << 20,
  });
  return parseUnixPairs(stdout)
    .filter(({ inode, peer }) => own.has(inode) && !own.has(peer))
    .map(({ path }) => ({
      code: "UNIX_SOCKET_OUTSIDE",
      message: `a unix socket is connected to a process outside of the workload${path === "*" || path === "" ? "" : ` (${path})`}`,
      mend: "Both ends must move together: run the other program inside the workload, or use TCP.",
      subject: `network namespace of process ${pid}`,
    }));
}
