// Post-copy, target, where helpers cannot connect: this process carries the questions of criu's lazy-pages daemon from its helper to the source, and the pages back, over the link.
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Peer } from "../engine.ts";
import type { Link } from "../link/link.ts";

/** From the daemon's first question on, which it asks when criu restore has handed it every process, until one side ends. `local` is destroyed then. */
export async function carryPages(link: Link, peer: Peer, migrationId: string, local: Duplex, signal: AbortSignal): Promise<void> {
  local.on("error", () => local.destroy());
  try {
    await once(local, "readable", { signal });
    if (local.readableLength === 0) return; // it has ended without one
    const { socket, reader } = await link.connect(peer, { migrationId, channel: "pages" }, signal);
    local.once("close", () => socket.destroy());
    await Promise.allSettled([pipeline(local, socket), pipeline(reader.rest(), local)]);
  } finally {
    local.destroy();
  }
}
