// Bulk bytes from one stream to another. Node's pipeline waits for the writer at every few KiB; here megabytes may be on their way, so that neither side
// of a busy host waits for the other's turn on the processor.
import type { Readable, Writable } from "node:stream";
import { fault } from "@aether/contract";

/** Resolves when `from` has ended and `to` has taken everything; rejects with TRANSFER_FAILED when either breaks. `maxWaitingBytes`: that `to` may have waiting. */
export function pump(from: Readable, to: Writable, maxWaitingBytes = 8 << 20): Promise<void> {
  return new Promise((resolve, reject) => {
    const broken = () => {
      from.destroy();
      to.destroy();
      reject(fault("TRANSFER_FAILED", "a stream of pages broke"));
    };
    from.on("data", (chunk: Buffer) => {
      to.write(chunk);
      if (to.writableLength > maxWaitingBytes) {
        from.pause();
        to.once("drain", () => from.resume());
      }
    });
    from.once("end", () => to.end(resolve));
    from.once("error", broken);
    to.once("error", broken);
    from.once("close", () => {
      if (!from.readableEnded) broken();
    });
    to.once("close", () => {
      if (!to.writableFinished) broken();
    });
  });
}
