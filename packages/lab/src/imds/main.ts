// Entry of the metadata service: one process in the fabric's namespace for all nodes. Its only argument is a JSON file (see `ImdsConfig`).
import { readFile } from "node:fs/promises";
import { createLogger, createStopStack, runUntilSignalled, systemClock } from "@aether/kit";
import { z } from "zod";
import { cloudLayout } from "../layout.ts";
import { openControl } from "./control.ts";
import { createAnnouncements } from "./interruptions.ts";
import { createMetadataServer } from "./server.ts";

const config = z.strictObject({
  prefix: z.string(),
  subnet: z.string(),
  nodeCount: z.number().int(),
  controlSocket: z.string(),
  reclaim: z.enum(["keep", "kill"]),
});
export type ImdsConfig = z.infer<typeof config>;

const log = createLogger({ name: "imds" });
const settings = config.parse(JSON.parse(await readFile(process.argv[2] ?? "", "utf8")));

await runUntilSignalled(log, async () => {
  const stack = createStopStack(log);
  const cloud = cloudLayout(settings);
  const announcements = createAnnouncements(
    cloud.nodes.map((node) => node.id),
    systemClock,
  );
  const server = createMetadataServer({ cloud, announcements, clock: systemClock });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(80, cloud.metadataAddress, resolve);
  });
  stack.add("metadata", () => {
    server.close();
    server.closeAllConnections();
  });
  stack.add("control", await openControl({ socket: settings.controlSocket, announcements, reclaim: settings.reclaim, log }));
  log.info({ nodes: cloud.nodes.map((node) => `${node.id}=${node.address}`), reclaim: settings.reclaim }, "metadata service ready");
  return stack;
});
