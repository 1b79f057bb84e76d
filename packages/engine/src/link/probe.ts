// How fast the way to a peer is, by a short transfer over the very link that a move would take: TLS, both SVIDs, one connection. Bounded in bytes and in
// time on both sides, and a host answers one at a time: a probe must never be what a workload waits for.
import type { TLSSocket } from "node:tls";
import { fault } from "@aether/contract";
import { withDeadline } from "@aether/kit";
import { z } from "zod";
import type { LinkProbe, Peer } from "../engine.ts";
import { type LinkReader, write, writeLine } from "./frames.ts";
import type { Link } from "./link.ts";

export const probeId = "probe";

/** At most so much of the link, for at most so long. At 10 Gbit/s the bytes are over in 27 ms, at 100 Mbit/s the time is over after 5 MB. */
const mostBytes = 32 << 20;
const longestMs = 400;
const pieceBytes = 256 << 10;
const pings = 5;
const answerDeadlineMs = 10_000;

const line = z.union([z.object({ ping: z.number() }), z.object({ bytes: z.int().min(0).max(pieceBytes) })]);
const answer = z.object({ pong: z.number().optional(), received: z.number().optional() });

/** Throws TRANSFER_FAILED, IDENTITY_REJECTED, and what the peer says. */
export async function probe(link: Pick<Link, "connect">, peer: Peer, signal: AbortSignal): Promise<LinkProbe> {
  const { socket, reader } = await link.connect(peer, { migrationId: probeId, channel: "probe" }, signal);
  const ask = async (message: object) => {
    await writeLine(socket, message);
    return answer.parse(await withDeadline("the peer's answer", answerDeadlineMs, () => reader.line(), signal));
  };
  try {
    const trips: number[] = [];
    for (let i = 0; i < pings; i++) {
      const startedMs = performance.now();
      await ask({ ping: i });
      trips.push(performance.now() - startedMs);
    }
    const piece = new Uint8Array(pieceBytes);
    const startedMs = performance.now();
    let bytes = 0;
    while (bytes < mostBytes && performance.now() - startedMs < longestMs) {
      signal.throwIfAborted();
      await writeLine(socket, { bytes: pieceBytes });
      await write(socket, piece);
      bytes += pieceBytes;
    }
    const { received } = await ask({ bytes: 0 });
    const seconds = (performance.now() - startedMs) / 1000;
    if (received !== bytes) throw fault("TRANSFER_FAILED", `${peer.nodeId} received ${received ?? 0} of ${bytes} bytes`);
    const roundTripMs = Math.min(...trips);
    return { bytesPerSecond: bytes / seconds, roundTripMs, bytes };
  } finally {
    socket.destroy();
  }
}

/** The other side, for any node of the trust domain: it learns nothing, and cannot keep us busy. */
export function createProbeAnswerer(): (socket: TLSSocket, reader: LinkReader) => Promise<void> {
  let isBusy = false;
  return async (socket, reader) => {
    if (isBusy) {
      await writeLine(socket, { error: "another probe runs here" });
      return;
    }
    isBusy = true;
    const timer = setTimeout(() => socket.destroy(), 4 * longestMs + answerDeadlineMs);
    try {
      await writeLine(socket, { ok: true });
      let received = 0;
      for (;;) {
        const told = line.parse(await reader.line());
        if ("ping" in told) await writeLine(socket, { pong: told.ping });
        else if (told.bytes === 0) {
          await writeLine(socket, { received });
          return;
        } else {
          for await (const part of reader.bytes(told.bytes)) received += part.length;
          if (received > mostBytes) throw fault("TRANSFER_FAILED", "a probe sends more than a probe may");
        }
      }
    } finally {
      clearTimeout(timer);
      isBusy = false;
      socket.end();
    }
  };
}
