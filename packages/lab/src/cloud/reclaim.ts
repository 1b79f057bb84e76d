// What "--reclaim kill" means: at the announced time the node is gone. Its agent is stopped and not started again, every process in its
// namespaces is killed, and its cable is cut: what a reclaimed instance does to those that knew it.
import { request } from "node:http";
import { type Logger, sleep } from "@aether/kit";
import { z } from "zod";
import { type CloudLayout, type NodeLayout, namesOf } from "../layout.ts";
import { tryIp } from "../network/ip.ts";
import type { Child } from "../supervisor/child.ts";
import { sweepCloud } from "../sweep/sweep.ts";
import type { CloudPaths } from "./paths.ts";

const answer = z.object({
  interruptions: z.array(z.object({ nodeId: z.string(), kind: z.string(), effectiveAt: z.string() })),
});

export interface ReclaimScope {
  readonly paths: CloudPaths;
  readonly layout: CloudLayout;
  readonly agents: ReadonlyMap<NodeLayout, Child>;
  readonly log: Logger;
  readonly say: (text: string) => void;
}

/** Looks twice a second for a notice whose time has come, until the signal. */
export function watchReclaims(scope: ReclaimScope, signal: AbortSignal): void {
  const reclaimed = new Set<string>();
  const look = async () => {
    const { interruptions } = answer.parse(JSON.parse(await getOverSocket(scope.paths.labSocket, "/interruptions")));
    for (const { nodeId, kind, effectiveAt } of interruptions) {
      if (kind !== "notice" || reclaimed.has(nodeId) || Date.parse(effectiveAt) > Date.now()) continue;
      reclaimed.add(nodeId);
      await reclaim(scope, nodeId);
    }
  };
  const loop = async () => {
    while (!signal.aborted) {
      await look().catch((caught: unknown) => scope.log.warn({ err: caught }, "cannot ask for announced interruptions"));
      await sleep(500, signal).catch(() => undefined); // stopped: the loop ends
    }
  };
  void loop();
}

async function reclaim(scope: ReclaimScope, nodeId: string): Promise<void> {
  const found = [...scope.agents].find(([node]) => node.id === nodeId);
  if (found === undefined) return;
  const [node, agent] = found;
  scope.say(`reclaiming ${nodeId}, as announced`);
  await tryIp(["link", "set", node.fabricLink, "down"], scope.layout.fabricNamespace);
  await agent.stop();
  // Workloads' own namespaces and cgroups are named after the node's; a sweep of that name takes all of them.
  await sweepCloud(scope.paths.nodeDir(nodeId), { isOurs: namesOf(scope.layout.prefix, node.namespace) }, []);
}

function getOverSocket(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, timeout: 2_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
      response.on("error", reject);
    });
    call.on("timeout", () => call.destroy(new Error("the metadata service did not answer within 2 s")));
    call.on("error", reject);
    call.end();
  });
}
