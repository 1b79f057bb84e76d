import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { silentLogger } from "@aether/kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { connectToDoor, createPageDoor, type PageDoor } from "./page-door.ts";

const signal = AbortSignal.timeout(20_000);
let door: PageDoor;
let server: Server;
const peer = () => ({ nodeId: "n2", address: "127.0.0.1", port: (server.address() as AddressInfo).port });

beforeEach(async () => {
  door = createPageDoor(silentLogger);
  server = createServer({ allowHalfOpen: true }, door.take);
  await once(server.listen(0, "127.0.0.1"), "listening");
});
afterEach(() => server.close());

describe("the door for connections of pages", () => {
  it("gives a connection to who expects it; nothing of what follows is read meanwhile", async () => {
    const expected = door.expect();
    const arrived = expected.arrived(signal);
    const connecting = connectToDoor(peer(), expected.ticket, signal);
    const theirs = await arrived;
    theirs.write("go\n");
    const ours = await connecting;
    ours.write("what the helpers say");
    await once(theirs, "readable");
    expect(String(theirs.read())).toBe("what the helpers say");
    ours.destroy();
    theirs.destroy();
  });

  it("a ticket is good once, and not at all when nobody expects it any more", async () => {
    const [first, dropped] = [door.expect(), door.expect()];
    dropped.drop();
    const arrived = first.arrived(signal);
    const once1 = connectToDoor(peer(), first.ticket, signal);
    (await arrived).write("go\n");
    (await once1).destroy();
    for (const ticket of [first.ticket, dropped.ticket, "0".repeat(32), ""])
      await expect(connectToDoor(peer(), ticket, signal)).rejects.toMatchObject({ code: "TRANSFER_FAILED" });
  });

  it.each(["GET / HTTP/1.1\r\n\r\n", "AETHER-PAGES/1 x\nand more", "x".repeat(500)])("closes what is something else: %s", async (text) => {
    const socket = connect(peer().port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(text);
    await once(socket, "close");
  });
});
