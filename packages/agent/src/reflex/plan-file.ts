// The plan for when nobody can be asked, on disk as the control plane signed it, with the time of its arrival on the clock that counts since the
// boot: a date never decides, and after a reboot nothing of it holds.
import { readFile } from "node:fs/promises";
import { uptime } from "node:os";
import { join } from "node:path";
import { type ReflexPlan, ReflexPlanSchema, type SignedBytes, SignedBytesSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { readTextIfThere, writeFileAtomic } from "@aether/kit";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { z } from "zod";

export interface PlanFile {
  /** Keeps it, unless a newer one is kept. Throws IDENTITY_REJECTED for one that the control plane did not sign, or that is for another node. */
  keep(signed: SignedBytes): Promise<void>;
  /** The plan that holds now; undefined when there is none, or its time is over. */
  current(): ReflexPlan | undefined;
}

export interface PlanFileOptions {
  readonly stateDir: string;
  readonly nodeId: string;
  /** Throws IDENTITY_REJECTED. */
  readonly openSigned: (signed: SignedBytes, purpose: string) => Uint8Array;
  /** Seconds since the boot, the sleep of the machine included. */
  readonly uptimeSeconds?: () => number;
}

const kept = z.object({ signed: z.string(), arrivedAtUptime: z.number(), bootId: z.string() });

export async function openPlanFile({ stateDir, nodeId, openSigned, uptimeSeconds = uptime }: PlanFileOptions): Promise<PlanFile> {
  const file = join(stateDir, "reflex-plan.json");
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "")).trim();
  let plan: ReflexPlan | undefined;
  let arrivedAtUptime = 0;

  const open = (signed: SignedBytes): ReflexPlan => {
    const opened = fromBinary(ReflexPlanSchema, openSigned(signed, "reflex-plan"));
    if (opened.nodeId !== nodeId) throw new Error(`the plan is for ${opened.nodeId}`);
    return opened;
  };

  const text = await readTextIfThere(file);
  const found = text === undefined ? undefined : kept.safeParse(parse(text)).data;
  if (found !== undefined && found.bootId === bootId) {
    try {
      plan = open(fromBinary(SignedBytesSchema, Buffer.from(found.signed, "base64")));
      arrivedAtUptime = found.arrivedAtUptime;
    } catch {
      plan = undefined; // damaged, or of another trust domain: as if there were none
    }
  }

  return {
    async keep(signed) {
      const next = open(signed);
      if (plan !== undefined && next.version < plan.version) return;
      const at = uptimeSeconds();
      const row = { signed: Buffer.from(toBinary(SignedBytesSchema, signed)).toString("base64"), arrivedAtUptime: at, bootId };
      await writeFileAtomic(file, JSON.stringify(row));
      plan = next;
      arrivedAtUptime = at;
    },
    current() {
      if (plan === undefined) return undefined;
      const validMs = plan.validFor === undefined ? 0 : durationMs(plan.validFor);
      return (uptimeSeconds() - arrivedAtUptime) * 1000 <= validMs ? plan : undefined;
    },
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
