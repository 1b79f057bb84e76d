// Connections on which two helpers speak TLS of their own: they come to the link's port too, so that one port is open between nodes. In front of the TLS goes one line
// with a ticket, which the target gave out over the link: it says for which move the connection is, is good for one, and for ten seconds. It proves nothing;
// who is there, the helpers find out (native/src/memory/tls.c).
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { fault } from "@aether/contract";
import { createWaitingRoom, type Logger, withDeadline } from "@aether/kit";
import type { Peer } from "../engine.ts";

const preface = "AETHER-PAGES/1 ";
const deadlineMs = 10_000;
/** Connections that have not shown a ticket yet. */
const mostWaiting = 64;
/** Longer than any line that is said here. */
const maxLineBytes = 128;

export interface ExpectedConnection {
  readonly ticket: string;
  /** Rejects with DEADLINE_EXCEEDED. */
  arrived(signal?: AbortSignal): Promise<Socket>;
  /** Nothing is expected any more. Safe to repeat. */
  drop(): void;
}

export interface PageDoor {
  expect(): ExpectedConnection;
  /** A connection to the link's port that did not begin as TLS does. */
  take(socket: Socket): void;
}

export function createPageDoor(log: Logger): PageDoor {
  const expected = new Map<string, (socket: Socket) => void>();
  const room = createWaitingRoom(mostWaiting, log);
  return {
    expect() {
      const ticket = randomBytes(16).toString("hex");
      const arrival = Promise.withResolvers<Socket>();
      expected.set(ticket, arrival.resolve);
      const drop = () => void expected.delete(ticket);
      return {
        ticket,
        drop,
        arrived: (signal) => withDeadline("the peer's connection for pages", deadlineMs, () => arrival.promise, signal).finally(drop),
      };
    },
    take(socket) {
      const leave = room.enter(socket.remoteAddress ?? "", socket);
      socket.once("close", leave);
      socket.on("error", () => socket.destroy());
      readLine(socket).then(
        (line) => {
          leave();
          const ticket = line.startsWith(preface) ? line.slice(preface.length) : "";
          const welcome = expected.get(ticket);
          expected.delete(ticket);
          if (welcome !== undefined) return welcome(socket);
          log.warn({ peer: socket.remoteAddress, reason: "no move here expects this connection" }, "link.refused");
          socket.destroy();
        },
        (caught: unknown) => {
          log.warn({ peer: socket.remoteAddress, err: caught }, "link.refused");
          socket.destroy();
        },
      );
    },
  };
}

/** A connection that the peer's helper has in hand: it may be given to ours. Throws TRANSFER_FAILED, DEADLINE_EXCEEDED. */
export async function connectToDoor(peer: Peer, ticket: string, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host: peer.address, port: peer.port, noDelay: true });
  socket.on("error", () => socket.destroy());
  try {
    socket.write(`${preface}${ticket}\n`);
    const word = await readLine(socket, signal);
    if (word !== "go") throw fault("TRANSFER_FAILED", `${peer.nodeId} does not take a connection for pages`);
    return socket;
  } catch (caught) {
    socket.destroy();
    throw caught;
  }
}

/** One line, behind which the other side waits: nothing follows until this one has said or done something. */
function readLine(socket: Socket, signal?: AbortSignal): Promise<string> {
  let text = "";
  let look: () => void = () => undefined;
  let broken: () => void = () => undefined;
  const reading = new Promise<string>((resolve, reject) => {
    broken = () => reject(fault("TRANSFER_FAILED", "the connection for pages was closed"));
    look = () => {
      for (let part: Buffer | null = socket.read(); part !== null; part = socket.read()) text += part.toString("latin1");
      if (text.endsWith("\n") && text.indexOf("\n") === text.length - 1) resolve(text.slice(0, -1));
      else if (text.includes("\n") || text.length > maxLineBytes)
        reject(fault("TRANSFER_FAILED", "a connection began with something unknown"));
    };
    socket.on("readable", look);
    socket.once("end", broken);
    socket.once("close", broken);
  });
  return withDeadline("the first line of a connection for pages", deadlineMs, () => reading, signal).finally(() => {
    socket.off("readable", look);
    socket.off("end", broken);
    socket.off("close", broken);
  });
}
