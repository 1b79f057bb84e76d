// One agent a state directory. The lock is an abstract unix socket named after the directory's device and inode: the kernel frees it when the
// process ends, however it ends, and no file is left that could lie.
import { stat } from "node:fs/promises";
import { createServer } from "node:net";
import { fault } from "@aether/contract";
import { isErrno, type Stoppable } from "@aether/kit";

/** Throws LOCKED when another process has it. Held within one network namespace, where abstract names live. */
export async function lockDirectory(dir: string): Promise<Stoppable> {
  const { dev, ino } = await stat(dir);
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(isErrno(cause, "EADDRINUSE") ? fault("LOCKED", `another agent uses ${dir}`, { cause, details: { dir } }) : cause),
    );
    server.listen(`\0aether-agent-${dev}-${ino}`, () => {
      server.unref();
      resolve();
    });
  });
  return {
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
      }),
  };
}
