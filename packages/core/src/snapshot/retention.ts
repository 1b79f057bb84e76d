// Which snapshots may go: a pure function. Never the last good one of a workload, never one that is in use or pinned; of the others the
// oldest first, by age, by number a workload, by bytes in all, thinned by tier: all for a day, one a day for a month, one a week after it.

export interface Kept {
  readonly id: string;
  readonly workload: string;
  /** creating | ready | failed | corrupt | deleting */
  readonly state: string;
  readonly createdAtMs: number;
  readonly bytes: number;
  readonly isPinned: boolean;
  /** A workload is being restored from it. */
  readonly isInUse: boolean;
}

export interface RetentionPolicy {
  readonly keepDays: number;
  readonly keepEach: number;
  readonly keepBytes: number;
}

export type Tier = "hot" | "warm" | "cold";

const dayMs = 86_400_000;
const hotMs = dayMs;
const warmMs = 30 * dayMs;
/** A failed attempt is kept this long, for whoever wants to know why. */
const failedMs = 7 * dayMs;

export function tierOf(ageMs: number): Tier {
  if (ageMs < hotMs) return "hot";
  return ageMs < warmMs ? "warm" : "cold";
}

export interface Judged {
  readonly id: string;
  readonly isKept: boolean;
  /** Why it is kept, or why it goes. */
  readonly why: string;
}

/** One judgement a snapshot, in the order given. */
export function judge(snapshots: readonly Kept[], policy: RetentionPolicy, nowMs: number): Judged[] {
  const newestFirst = [...snapshots].sort((a, b) => b.createdAtMs - a.createdAtMs || (a.id < b.id ? 1 : -1));
  const lastGood = new Map<string, string>();
  for (const each of newestFirst) if (each.state === "ready" && !lastGood.has(each.workload)) lastGood.set(each.workload, each.id);
  const counts = new Map<string, number>();
  const slots = new Set<string>();
  const verdicts = new Map<string, Judged>();
  let bytes = 0;
  const protectedBy = (each: Kept): string | undefined => {
    if (each.state === "creating" || each.state === "deleting") return `it is ${each.state}`;
    if (each.isPinned) return "pinned";
    if (each.isInUse) return "in use";
    return lastGood.get(each.workload) === each.id ? `the last good one of ${each.workload}` : undefined;
  };
  // What may not go counts first: the rest has to fit beside it.
  for (const each of newestFirst) if (protectedBy(each) !== undefined) bytes += each.bytes;
  for (const each of newestFirst) {
    const ageMs = nowMs - each.createdAtMs;
    const keeps = protectedBy(each);
    const count = (counts.get(each.workload) ?? 0) + 1;
    const say = (isKept: boolean, why: string) => verdicts.set(each.id, { id: each.id, isKept, why });
    if (keeps !== undefined) {
      counts.set(each.workload, count);
      say(true, keeps);
      continue;
    }
    if (each.state !== "ready") {
      say(
        ageMs < failedMs,
        ageMs < failedMs
          ? `${each.state}: kept for ${failedMs / dayMs} days to be looked at`
          : `${each.state} for ${failedMs / dayMs} days`,
      );
      continue;
    }
    if (ageMs >= policy.keepDays * dayMs) {
      say(false, `older than ${policy.keepDays} days`);
      continue;
    }
    const tier = tierOf(ageMs);
    const spanMs = tier === "warm" ? dayMs : 7 * dayMs;
    const slot = `${each.workload} ${tier} ${Math.floor(each.createdAtMs / spanMs)}`;
    if (tier !== "hot" && slots.has(slot)) {
      say(false, `${tier}: a newer one of the same ${tier === "warm" ? "day" : "week"} is kept`);
      continue;
    }
    if (count > policy.keepEach) {
      say(
        false,
        policy.keepEach === 1 ? `a newer one of ${each.workload} is kept` : `${policy.keepEach} newer ones of ${each.workload} are kept`,
      );
      continue;
    }
    if (bytes + each.bytes > policy.keepBytes) {
      say(false, "the store would hold more than it may");
      continue;
    }
    counts.set(each.workload, count);
    slots.add(slot);
    bytes += each.bytes;
    say(true, `${tier}, ${count} of ${policy.keepEach}; goes after ${policy.keepDays} days at the latest`);
  }
  return snapshots.map((each) => verdicts.get(each.id) ?? { id: each.id, isKept: true, why: "" });
}
