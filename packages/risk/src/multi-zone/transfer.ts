/**
 * What it takes to bring a checkpoint to another zone, as published with SkyNomad (its measurements of S3): nothing within a region; across
 * regions 0.02 USD/GB (0.01 between us-east-1 and us-east-2) and the time that 8.20 Gbps, or 3.59 Gbps between continents, takes beyond
 * the 9.72 Gbps that a changeover within a region already holds.
 */
import type { Transfer } from "./market.ts";

const SAME_REGION_MBPS = 9720;
const SAME_CONTINENT_MBPS = 8200;
const OTHER_CONTINENT_MBPS = 3590;

/** us-east-1 of us-east-1a, europe-west1 of europe-west1-c. */
export const regionOf = (zone: string): string => zone.replace(/-?[a-z]$/, "");

export function transferBetween(fromZone: string, toZone: string, checkpointGb: number): Transfer {
  const from = regionOf(fromZone);
  const to = regionOf(toZone);
  if (from === to) return { usd: 0, seconds: 0 };
  const isNear = from.split("-")[0] === to.split("-")[0];
  const megabits = checkpointGb * 8 * 1024;
  const seconds = megabits / (isNear ? SAME_CONTINENT_MBPS : OTHER_CONTINENT_MBPS) - megabits / SAME_REGION_MBPS;
  const isEastPair = [from, to].sort().join() === "us-east-1,us-east-2";
  return { usd: checkpointGb * (isEastPair ? 0.01 : 0.02), seconds };
}
