import { randomBytes } from "node:crypto";
import { makeId } from "@aether/contract";

/** A new identifier that sorts by time: wl-…, mig-…, cmd-…, sig-…, dec-…, drl-…, snap-…, run-…, tok-…, ses-… */
export function newId(prefix: Parameters<typeof makeId>[0], nowMs: number = Date.now()): string {
  return makeId(prefix, nowMs, randomBytes(5));
}
