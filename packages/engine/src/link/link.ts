// The direct way between two engines: TLS 1.3 with both SVIDs. Each connection says with its first line which migration and which channel it is for;
// it is let in only if the peer is the node that `prepare` (on the target) or the migration's own record (on the source) named.
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { Fault, fault } from "@aether/contract";
import { createWaitingRoom, withDeadline } from "@aether/kit";
import { connectMutualTls, createMutualTlsServer, nodeIdOf, nodeSpiffeId, parseSpiffeId } from "@aether/kit/identity";
import { z } from "zod";
import type { Peer } from "../engine.ts";
import type { Host } from "../host.ts";
import { LinkReader, writeLine } from "./frames.ts";
import { connectToDoor, createPageDoor, type ExpectedConnection } from "./page-door.ts";
import { createProbeAnswerer, probeId } from "./probe.ts";

const header = z.object({
  migrationId: z.string().max(64),
  channel: z.enum(["clock", "files", "image", "images", "pages", "memory", "connection", "shared", "probe"]),
  tree: z.string().max(40).optional(),
  transport: z.enum(["plain", "zstd"]).optional(),
  /** With memory: what the target needs to put it in place while it comes. An older source does not say, an older target does not hear. */
  coming: z
    .object({
      /** Inodes of the workload's pipes. */
      stdout: z.number().int().nonnegative(),
      stderr: z.number().int().nonnegative(),
      memoryBytes: z.number().int().nonnegative(),
      /** Much of it will come again, because it is written meanwhile. */
      isWritten: z.boolean(),
    })
    .optional(),
});
export type LinkHeader = z.infer<typeof header>;

export type LinkHandler = (connection: { socket: TLSSocket; reader: LinkReader; header: LinkHeader }) => Promise<void>;

export interface Link {
  readonly address: string;
  readonly port: number;
  /** Lets the node in for this migration; the answer closes the door. */
  admit(migrationId: string, nodeId: string, handler: LinkHandler): () => void;
  /** Opens a channel to a peer that has admitted us. Throws TRANSFER_FAILED, IDENTITY_REJECTED. */
  connect(peer: Peer, header: LinkHeader, signal: AbortSignal): Promise<{ socket: TLSSocket; reader: LinkReader }>;
  /** For one connection between helpers, which is told to the peer over the link. */
  expectConnection(): ExpectedConnection;
  /** The other end of it; unread, and without TLS yet. */
  connectHelper(peer: Peer, ticket: string, signal: AbortSignal): Promise<Socket>;
  stop(): Promise<void>;
}

/** The peer was reached, and said no: asking again does not help. */
export const refusal = (peer: Peer, reason: string): Fault =>
  fault("TRANSFER_FAILED", `${peer.nodeId}: ${reason}`, { details: { isRefused: "true" } });
export const isRefusal = ({ details }: Fault): boolean => details.isRefused === "true";

const alpn = ["aether-link/1"];
/** Longer than any header. */
const maxHeaderBytes = 1024;
/** Connections of known nodes that have not said yet what they are for. */
const mostWaiting = 128;

export async function openLink(host: Host): Promise<Link> {
  const { identity, log, linkAddress, linkPort } = host.options;
  const answerProbe = createProbeAnswerer();
  const pageDoor = createPageDoor(log);
  const doors = new Map<string, { nodeId: string; handler: LinkHandler }>();
  const room = createWaitingRoom(mostWaiting, log);

  async function serve(socket: TLSSocket, peer: string): Promise<void> {
    const reader = new LinkReader(socket);
    const leave = room.enter(peer, socket);
    socket.once("close", leave);
    const first = header.safeParse(await withDeadline("the link's first line", 10_000, () => reader.line(maxHeaderBytes)));
    leave();
    if (!first.success) throw fault("TRANSFER_FAILED", "the link's first line is not valid");
    if (first.data.channel === "probe" && first.data.migrationId === probeId) return answerProbe(socket, reader);
    const door = doors.get(first.data.migrationId);
    if (door === undefined || nodeIdOf(peer) !== door.nodeId) {
      await writeLine(socket, { error: "this node does not expect you for this migration" });
      throw fault("IDENTITY_REJECTED", `${peer} is not expected for ${first.data.migrationId}`);
    }
    await writeLine(socket, { ok: true });
    await door.handler({ socket, reader, header: first.data });
  }

  const server = createMutualTlsServer({
    identity,
    alpn,
    log,
    onPlain: pageDoor.take,
    onConnection(socket, peer) {
      socket.on("error", () => socket.destroy());
      serve(socket, peer ?? "").catch((caught: unknown) => {
        log.warn({ peer, reason: Fault.from(caught).message }, "link.refused");
        socket.destroy();
      });
    },
  });
  const bound = await server.listen(linkPort, linkAddress);
  return {
    address: linkAddress,
    port: bound.port,
    admit(migrationId, nodeId, handler) {
      doors.set(migrationId, { nodeId, handler });
      return () => doors.delete(migrationId);
    },
    async connect(peer, head, signal) {
      const { trustDomain } = parseSpiffeId(identity.current().spiffeId);
      const socket = await connectMutualTls(
        { identity, host: peer.address, port: peer.port, trust: nodeSpiffeId(trustDomain, peer.nodeId), deadlineMs: 10_000, alpn },
        signal,
      );
      socket.on("error", () => socket.destroy());
      const abort = () => socket.destroy();
      signal.addEventListener("abort", abort, { once: true });
      socket.once("close", () => signal.removeEventListener("abort", abort));
      await writeLine(socket, head);
      const reader = new LinkReader(socket);
      const answer = z
        .object({ ok: z.boolean().optional(), error: z.string().optional() })
        .parse(await withDeadline("the peer to let us in", 10_000, () => reader.line(), signal));
      if (answer.ok !== true) {
        socket.destroy();
        throw refusal(peer, answer.error ?? "refused");
      }
      return { socket, reader };
    },
    expectConnection: pageDoor.expect,
    connectHelper: connectToDoor,
    stop: () => server.stop(),
  };
}
