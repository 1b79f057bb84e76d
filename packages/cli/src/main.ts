// Entry of the `aether` command: runs when it is imported.
import { runCommandLine } from "./command-line.ts";

// A reader that has seen enough (`aether ps | head`) is no failure.
process.stdout.on("error", (cause: NodeJS.ErrnoException) => {
  if (cause.code !== "EPIPE") throw cause;
  process.exit(0);
});

process.exitCode = await runCommandLine(process.argv.slice(2));
