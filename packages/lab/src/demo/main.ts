// Entry of the demo's client: load and oracle against one workload, a journal on disk, a report to core each second.
// Its only argument is a JSON file (see `DemoConfig`).
import { appendFileSync, existsSync, renameSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createLogger, createStopStack, runUntilSignalled } from "@aether/kit";
import { z } from "zod";
import { createLoadClient } from "./load-client.ts";
import { createReporter } from "./report.ts";

const config = z.strictObject({
  url: z.string(),
  token: z.string(),
  name: z.string(),
  workload: z.string(),
  address: z.string(),
  port: z.number().int(),
  journal: z.string(),
});
export type DemoConfig = z.infer<typeof config>;

const log = createLogger({ name: "demo" });
const settings = config.parse(JSON.parse(await readFile(process.argv[2] ?? "", "utf8")));
if (existsSync(settings.journal) && statSync(settings.journal).size > 20 << 20) renameSync(settings.journal, `${settings.journal}.1`);

await runUntilSignalled(log, async () => {
  const stack = createStopStack(log);
  const reporter = createReporter({ ...settings, log });
  stack.add("reporter", reporter);
  const client = createLoadClient({ address: settings.address, port: settings.port });
  client.start();
  stack.add("client", client);
  const timer = setInterval(() => {
    const report = client.take();
    appendFileSync(settings.journal, `${JSON.stringify({ ...report, lastValue: client.lastValue })}\n`, { mode: 0o600 });
    reporter.add(report);
  }, 1000);
  stack.add("timer", () => clearInterval(timer));
  log.info({ address: settings.address, port: settings.port }, "load begins");
  return stack;
});
