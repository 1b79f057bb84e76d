// For tests: routes on a port of loopback, as a client over HTTP finds them, without core's gate.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

export interface ServedRoutes {
  readonly url: string;
  close(): void;
}

export async function serveRoutes(routes: (router: ConnectRouter) => void): Promise<ServedRoutes> {
  const server = createServer(connectNodeAdapter({ routes }));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
