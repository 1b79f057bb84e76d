// The Spot Advisor's file: the share of instances of each type that were interrupted in the trailing month, as five bands, and the mean
// saving. With a spot price the saving gives an estimate of the on-demand price, kept as such.
import { fault } from "@aether/contract";
import { z } from "zod";
import type { NewRow } from "../db/schema.ts";

export const advisorLimits = { bytes: 20_000_000 } as const;

const advisorFile = z.object({
  // region -> operating system -> type -> { r: band, s: savings in % }
  spot_advisor: z.record(
    z.string().max(40),
    z.object({ Linux: z.record(z.string().max(40), z.object({ r: z.int().min(0).max(4), s: z.number().min(0).max(100) })).optional() }),
  ),
});

/** Throws UNAVAILABLE when the text is not such a file. */
export function parseAdvisor(text: string, origin: string, fetchedAt: Date): NewRow<"advisor_bands">[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw fault("UNAVAILABLE", "the Spot Advisor's file is not JSON", { cause });
  }
  const parsed = advisorFile.safeParse(json);
  if (!parsed.success)
    throw fault("UNAVAILABLE", `the Spot Advisor's file has another form: ${parsed.error.issues[0]?.path.join(".")}`, {
      cause: parsed.error,
    });
  return Object.entries(parsed.data.spot_advisor).flatMap(([region, { Linux }]) =>
    Object.entries(Linux ?? {}).map(([type, { r, s }]) => ({
      region,
      instance_type: type,
      band: r,
      savings_percent: s,
      origin,
      fetched_at: fetchedAt,
    })),
  );
}
