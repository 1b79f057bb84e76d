// Can memory be tracked on this host? Found by doing it with the canary.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "@aether/contract";
import { withDeadline } from "@aether/kit";
import type { Host } from "../host.ts";
import { freezerDir } from "../runtime/cgroup.ts";
import { startHelper } from "./helper.ts";

/** Why not; empty where it can. The workload must run. */
export async function probeTracking(host: Host, workload: string, signal: AbortSignal): Promise<string> {
  const procs = join(await freezerDir(host, workload), "cgroup.procs");
  const answers = join(host.memoryDir, "canary.answers");
  const helper = startHelper(host, ["memory-source", "--procs", procs, "--answers", answers, "--data-fd", "3"]);
  helper.data.resume(); // its pages go nowhere
  try {
    await withDeadline("tracking to begin", 5000, () => helper.next("ready"), signal);
    helper.send("round");
    const round = await withDeadline("a pass over its memory", 5000, () => helper.next("round"), signal);
    return Number(round.sentPages) > 0 ? "" : "no page was seen";
  } catch (caught) {
    const [refused] = helper.take("refused");
    return refused === undefined ? Fault.from(caught).message : String(refused.reason);
  } finally {
    helper.kill();
    rmSync(answers, { force: true });
  }
}
