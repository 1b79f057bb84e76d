// Entry of the counter server: listens on the port that is its only argument, on every address of the workload.
import { createCounterServer } from "./counter-server.ts";

const port = Number(process.argv[2] ?? "6379");
createCounterServer().listen(port, "0.0.0.0", () => process.stdout.write(`counter server on port ${port}\n`));
