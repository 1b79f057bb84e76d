// Who carries pages from a tracker to their reader: the two agents, over their link; or the helpers themselves, over a connection with TLS of their own, which takes
// a third of the processor time (docs/decisions/0019-pages-from-helper-to-helper.md).

import { randomBytes } from "node:crypto";
import type { Duplex, Writable } from "node:stream";
import { fault } from "@aether/contract";
import { withDeadline } from "@aether/kit";
import { z } from "zod";
import type { Peer } from "../engine.ts";
import type { Host } from "../host.ts";
import { type LinkReader, writeLine } from "../link/frames.ts";
import { type Link, type LinkHandler, type LinkHeader, refusal } from "../link/link.ts";
import type { HelperLine } from "../runtime/events.ts";
import { handOver } from "./hand-over.ts";
import type { Helper } from "./helper.ts";
import { createPasses } from "./passes.ts";
import { sendPages, type Transport } from "./transport.ts";

export interface Carrier {
  /** Arguments of the tracker. */
  readonly options: readonly string[];
  /** Once, as soon as the tracker runs. Throws TRANSFER_FAILED where its pages would not arrive. */
  start(helper: Helper): Promise<void>;
  /** After the tracker's last word: all of it has left this host. */
  sent(): Promise<void>;
  /** Resolves when the reader has all up to the end of this pass, at once where it does not say. Undefined: what the tracker has written is all but there. */
  arrived?(pass: number): Promise<void>;
  /** That went over the link; undefined: the tracker knows. */
  wireBytes(): number | undefined;
  close(): void;
}

const marked = z.object({ number: z.number().nonnegative() });
const arrivedLine = z.object({ arrived: z.number().int().min(-1) });

/** The pass whose end has come, by what a target's helper says. */
export const markOf = (line: HelperLine): number => marked.parse(line).number;

/** The target's part: the source is told of each pass that is here, the first time of none: so it knows that it will be. */
export function tellMarks(helper: Pick<Helper, "onLine">, socket: Writable): void {
  const tell = (arrived: number) => void (socket.writable && socket.write(`${JSON.stringify({ arrived })}\n`));
  tell(-1);
  helper.onLine((line) => {
    if (line.event === "mark") tell(markOf(line));
  });
}

/** The source's part of it. */
function hearMarks(reader: LinkReader): (pass: number) => Promise<void> {
  const passes = createPasses();
  let isTold = false;
  const hear = async () => {
    for (;;) {
      passes.reach(arrivedLine.parse(await reader.line()).arrived);
      isTold = true;
    }
  };
  hear().catch(() => passes.reach(Number.POSITIVE_INFINITY)); // the link has ended, which who sends over it hears
  return async (pass) => (isTold ? passes.reached(pass) : undefined);
}

/** Through this process, to `socket`, which is destroyed with the tracker. `reader`: what a reader of another host says over it. */
export function throughAgent(socket: Duplex, transport: Transport, reader?: LinkReader, onClose: () => void = () => undefined): Carrier {
  let sending: Promise<void> = Promise.resolve();
  return {
    options: [],
    ...(reader && { arrived: hearMarks(reader) }),
    async start(helper) {
      sending = sendPages(helper.data, socket, transport);
      sending.catch(() => helper.kill()); // nobody takes its pages any more
    },
    sent: () => sending,
    wireBytes: () => (socket as { bytesWritten?: number }).bytesWritten ?? 0,
    close() {
      onClose();
      socket.destroy();
    },
  };
}

const greetingMs = 15_000;
const invitation = z.union([z.object({ ticket: z.string(), secret: z.string() }), z.object({ error: z.string() })]);
const connectionLine = z.object({ reason: z.string().optional() });

/** Over a connection of the helpers, to a peer that has admitted us. It begins on the link, where each side knows the other. */
export function helperToHelper(
  host: Host,
  link: Link,
  migrationId: string,
  peer: Peer,
  signal: AbortSignal,
  coming?: LinkHeader["coming"],
): Carrier {
  return {
    options: ["--handed", "1"],
    async start(helper) {
      const { socket: asking, reader } = await link.connect(peer, { migrationId, channel: "connection", coming }, signal);
      try {
        const invited = invitation.parse(await withDeadline("the peer's invitation", greetingMs, () => reader.line(), signal));
        if ("error" in invited) throw refusal(peer, invited.error);
        const connection = await link.connectHelper(peer, invited.ticket, signal);
        await handOver(host, helper, connection, { peerNodeId: peer.nodeId, secret: invited.secret });
        await withDeadline("the helpers to know each other", greetingMs, (inner) => helper.next("connection", inner), signal);
      } finally {
        asking.destroy();
      }
    },
    sent: async () => undefined,
    wireBytes: () => undefined,
    close: () => undefined,
  };
}

/** The target's part of it. Resolves when its helper has the connection, or has refused it: then the source sends through the agents. */
export async function inviteHelper(
  host: Host,
  link: Link,
  helper: Helper,
  peerNodeId: string,
  { socket }: Pick<Parameters<LinkHandler>[0], "socket">,
): Promise<void> {
  if (host.helperTls === undefined) return writeLine(socket, { error: "its native program was built without OpenSSL" });
  if (helper.problem() !== undefined) return writeLine(socket, { error: `who would take the connection has ended: ${helper.problem()}` });
  const expected = link.expectConnection();
  const secret = randomBytes(32).toString("hex");
  try {
    await writeLine(socket, { ticket: expected.ticket, secret });
    await handOver(host, helper, await expected.arrived(), { peerNodeId, secret });
    const { reason } = connectionLine.parse(
      await withDeadline("the helpers to know each other", greetingMs, (inner) => helper.next("connection", inner)),
    );
    if (reason !== undefined) throw fault("IDENTITY_REJECTED", `a connection of pages: ${reason}`);
  } finally {
    expected.drop();
  }
}
