// The TCP sockets of a network namespace, read from /proc/PID/net/tcp (proc(5)).
import { readProc } from "../runtime/process.ts";

export interface TcpTable {
  /** "local remote" of every established connection, sorted. */
  readonly established: readonly string[];
  /** The same with "unacknowledged=BYTES unread=BYTES": what the peer has not acknowledged, what the workload has not read. */
  readonly queues: readonly string[];
  /** Connections that wait to be accepted: a checkpoint cannot hold them. */
  readonly waitingToBeAccepted: number;
}

const endpoint = (hex: string): string => {
  const [address = "", port = ""] = hex.split(":");
  if (address.length === 8) {
    const bytes =
      address
        .match(/../g)
        ?.reverse()
        .map((byte) => Number.parseInt(byte, 16)) ?? [];
    return `${bytes.join(".")}:${Number.parseInt(port, 16)}`;
  }
  return `[${address.toLowerCase()}]:${Number.parseInt(port, 16)}`;
};

/** Parses the text of /proc/PID/net/tcp or tcp6. States: 01 established, 0A listening (its receive queue counts what waits). */
export function parseTcpTable(text: string): TcpTable {
  const established: string[] = [];
  const queued: string[] = [];
  let waitingToBeAccepted = 0;
  for (const line of text.split("\n").slice(1)) {
    const [, local, remote, state, queues] = line.trim().split(/\s+/);
    if (local === undefined || remote === undefined) continue;
    if (state === "01") {
      const [unacknowledged = "0", unread = "0"] = queues?.split(":") ?? [];
      const pair = `${endpoint(local)} ${endpoint(remote)}`;
      established.push(pair);
      queued.push(`${pair} unacknowledged=${Number.parseInt(unacknowledged, 16)} unread=${Number.parseInt(unread, 16)}`);
    }
    if (state === "0A") waitingToBeAccepted += Number.parseInt(queues?.split(":")[1] ?? "0", 16);
  }
  return { established: established.sort(), queues: queued.sort(), waitingToBeAccepted };
}

/** Of the network namespace that `pid` is in; empty when it is gone. */
export async function tcpTable(pid: number): Promise<TcpTable> {
  const texts = await Promise.all(["net/tcp", "net/tcp6"].map((name) => readProc(pid, name)));
  const [v4, v6] = texts.map((text) => parseTcpTable(text ?? ""));
  return {
    established: [...(v4?.established ?? []), ...(v6?.established ?? [])],
    queues: [...(v4?.queues ?? []), ...(v6?.queues ?? [])],
    waitingToBeAccepted: (v4?.waitingToBeAccepted ?? 0) + (v6?.waitingToBeAccepted ?? 0),
  };
}
