// A long-lived program of native/ that speaks in JSON lines and has a descriptor of its own for pages.
import { spawn } from "node:child_process";
import { Duplex } from "node:stream";
import { fault } from "@aether/contract";
import { killGroup } from "@aether/kit";
import type { Host } from "../host.ts";
import { type HelperEvents, readEvents } from "../runtime/events.ts";

export interface Helper extends HelperEvents {
  readonly pid: number;
  /** The pages. */
  readonly data: Duplex;
  send(command: string): void;
  kill(): void;
  /** This process may end without it. */
  letGo(): void;
}

/**
 * @param command its name and arguments; it finds its pages on descriptor 3. Its end is a TRANSFER_FAILED to who waits for it.
 * @param given its descriptor 4: it is closed here.
 */
export function startHelper(host: Host, command: readonly string[], given?: Duplex): Helper {
  const child = spawn(host.options.tools.native, command, {
    stdio: ["pipe", "pipe", "pipe", "pipe", ...(given === undefined ? [] : [given])],
    detached: true,
  });
  given?.destroy();
  const [input, , , data] = child.stdio;
  if (!(data instanceof Duplex)) throw fault("INTERNAL", "a pipe for pages is one way only");
  data.on("error", () => data.destroy());
  const isPassing = (event: string) => ["progress", "mark", "lost", "note", "standing", "declined", "placed"].includes(event);
  return {
    ...readEvents(child, command[0] ?? "", { code: "TRANSFER_FAILED", isPassing }),
    pid: child.pid ?? 0,
    data,
    send: (text) => input?.write(`${text}\n`),
    kill: () => killGroup(child),
    letGo: () => child.unref(),
  };
}
