// Post-copy, source: a process of its own joins the target's connection to criu's page server, so that pages follow whatever becomes of this agent (native/src/memory/serve.c).
// criu asks nobody who he is: so it has one connection, which that process has made for it, and listens on no port.
import { pipeline } from "node:stream/promises";
import type { ReadyLazyDump } from "../checkpoint/lazy-dump.ts";
import type { Host } from "../host.ts";
import type { Link, LinkHandler } from "../link/link.ts";
import { inviteHelper } from "./carrier.ts";
import { startHelper } from "./helper.ts";

type Connection = Pick<Parameters<LinkHandler>[0], "socket" | "reader">;

export interface PageServer {
  /** Lets the target's helper connect to ours. Throws where ours refused it: the target then comes through the agents. */
  invite(connection: Pick<Connection, "socket">): Promise<void>;
  /** Joins a connection of the target's agent to it: this process carries every page then. Once. */
  carry(connection: Connection): Promise<void>;
  kill(): void;
}

/** It ends with this process until the target has connected; afterwards with criu, or with the connection. `criu` waits for it before it begins. */
export function startPageServer(host: Host, link: Link, criu: Pick<ReadyLazyDump, "pid" | "line">, targetNodeId: string): PageServer {
  const helper = startHelper(host, ["pages-serve", "--criu", String(criu.pid ?? 0), "--data-fd", "3", "--criu-fd", "4"], criu.line);
  helper.letGo();
  return {
    invite: (connection) => inviteHelper(host, link, helper, targetNodeId, connection),
    async carry({ socket, reader }) {
      socket.on("close", () => helper.data.destroy());
      await Promise.allSettled([pipeline(reader.rest(), helper.data), pipeline(helper.data, socket)]);
    },
    kill: helper.kill,
  };
}
