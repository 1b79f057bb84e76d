// A connection between the helpers of two hosts: this process opens it and gives it away, with what TLS needs. Neither the pages nor their keys come by here.
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { fault } from "@aether/contract";
import { run, withDeadline } from "@aether/kit";
import { nodeSpiffeId, parseSpiffeId } from "@aether/kit/identity";
import { z } from "zod";
import type { Tools } from "../engine.ts";
import type { Host } from "../host.ts";
import type { Helper } from "./helper.ts";

const features = z.object({ tls: z.string().nullable() });

/** OpenSSL's version in our native program; undefined where it was built without it, or is not there. Never throws. */
export async function helperTls(tools: Pick<Tools, "native">): Promise<string | undefined> {
  try {
    const { stdout } = await run(tools.native, ["features"], { deadlineMs: 5000 });
    return features.parse(JSON.parse(stdout)).tls ?? undefined;
  } catch {
    return undefined; // not there, or older than this question: who needs the program finds out and says so
  }
}

/** Of one connection. The private key goes through the helper's own socket: not by its arguments, its environment or a file. */
export interface HandOver {
  /** The node that must be at the other end. */
  readonly peerNodeId: string;
  /** Known to the two agents of this move only. */
  readonly secret: string;
}

/** The helper has the connection when this is done; what it makes of it, it says. Throws TRANSFER_FAILED. `socket` is closed here, whatever happens. */
export async function handOver(host: Host, helper: Helper, socket: Socket, { peerNodeId, secret }: HandOver): Promise<void> {
  const { native } = host.options.tools;
  try {
    // Either may have ended while the other was waited for, and Node would say which with all that it knows of a socket.
    if (socket.destroyed) throw fault("TRANSFER_FAILED", "the peer closed the connection before it was handed over");
    if (helper.data.destroyed) throw fault("TRANSFER_FAILED", "the helper has ended");
    const child = spawn(native, ["hand-over"], { stdio: ["ignore", "ignore", "pipe", socket, helper.data] });
    helper.data.resume(); // Node stops reading what a child inherits
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    const [code] = await withDeadline("a connection to be handed over", 10_000, () => once(child, "close"));
    if (code !== 0) throw fault("TRANSFER_FAILED", `a connection cannot be handed over: ${said.trim() || `code ${code}`}`);
  } finally {
    // Only now may the other side speak: what it said before would be read here, and lost.
    const closed = socket.destroyed || once(socket, "close");
    socket.destroy();
    await closed;
  }
  const identity = host.options.identity.current();
  const peer = nodeSpiffeId(parseSpiffeId(identity.spiffeId).trustDomain, peerNodeId);
  const texts = [peer, secret, identity.certificateChainPem, identity.privateKeyPem, identity.trustBundlePem];
  const parts = texts.flatMap((text) => {
    const bytes = Buffer.from(text);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return [length, bytes];
  });
  const offer = Buffer.concat(parts);
  await new Promise<void>((resolve, reject) => {
    helper.data.write(offer, (problem) =>
      problem ? reject(fault("TRANSFER_FAILED", "the helper has ended", { cause: problem })) : resolve(),
    );
  }).finally(() => {
    for (const bytes of [offer, ...parts]) bytes.fill(0);
  });
}
