// Post-copy, source: a process of its own joins the target's connection to criu's page server, so that pages follow whatever becomes of this agent (native/src/memory/serve.c).
import type { Host } from "../host.ts";
import type { Link, LinkHandler } from "../link/link.ts";
import { inviteHelper } from "./carrier.ts";
import { startHelper } from "./helper.ts";

export interface PageServer {
  /** Lets the target's helper connect to ours. Throws where ours refused it: the target then comes through the agents. */
  invite(connection: Pick<Parameters<LinkHandler>[0], "socket">): Promise<void>;
  kill(): void;
}

/**
 * Undefined where our native program has no TLS. It ends with this process until the target has connected; afterwards with criu, or with the connection.
 * @param criu who will serve pages on a port of this host's loopback; it need not listen yet
 */
export function startPageServer(
  host: Host,
  link: Link,
  criu: { readonly pid: number | undefined; readonly port: number },
  targetNodeId: string,
): PageServer | undefined {
  if (host.helperTls === undefined || criu.pid === undefined) return undefined;
  const helper = startHelper(host, ["pages-serve", "--port", String(criu.port), "--criu", String(criu.pid), "--data-fd", "3"]);
  helper.letGo();
  return { invite: (connection) => inviteHelper(host, link, helper, targetNodeId, connection), kill: helper.kill };
}
