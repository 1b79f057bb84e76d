import { Socket } from "node:net";
import { expect, it } from "vitest";
import type { Host } from "../host.ts";
import { handOver } from "./hand-over.ts";
import type { Helper } from "./helper.ts";

const host = { options: { tools: { native: "/bin/false" } } } as Host;
const to = { peerNodeId: "n2", secret: "" };
const ended = () => new Socket().destroy();

it("says that the peer closed the connection, or that the helper has ended, in a line", async () => {
  const closed = handOver(host, { data: new Socket() } as unknown as Helper, ended(), to);
  await expect(closed).rejects.toMatchObject({
    code: "TRANSFER_FAILED",
    message: "the peer closed the connection before it was handed over",
  });
  const socket = new Socket();
  const noHelper = handOver(host, { data: ended() } as unknown as Helper, socket, to);
  await expect(noHelper).rejects.toMatchObject({ code: "TRANSFER_FAILED", message: "the helper has ended" });
  expect(socket.destroyed).toBe(true);
});
