/**
 * Turns feed items into evidence about a region: the age of the last word about an open incident there, for `assess`. The evidence fades with
 * a half-life and is never enough for a move by itself. Old items are forgotten, the same item is counted once.
 */
import type { FeedItem } from "./feed.ts";

export interface Incident {
  readonly id: string;
  readonly region: string;
  readonly lastWordSeconds: number;
  readonly isResolved: boolean;
  readonly title: string;
}

/** Items older than this are forgotten. */
const RETENTION_SECONDS = 7 * 86_400;
const RESOLVED = /\b(resolved|recovered|operating normally|restored)\b/i;
const REGION = /\b(?:us|eu|ap|sa|ca|me|af|il|mx)-(?:north|south|east|west|central|northeast|northwest|southeast|southwest)-\d\b/gi;

/** Incidents by region. Items without a date or a region, from the future, or past retention are left out; the newest word of an id wins. */
export function incidentsFrom(items: readonly FeedItem[], nowSeconds: number, retentionSeconds: number = RETENTION_SECONDS): Incident[] {
  const found = new Map<string, Incident>();
  for (const item of items) {
    const at = item.publishedSeconds;
    if (at === undefined || at > nowSeconds + 300 || at < nowSeconds - retentionSeconds) continue;
    const words = `${item.title} ${item.text}`;
    for (const region of new Set([...`${words} ${item.id}`.matchAll(REGION)].map((match) => match[0].toLowerCase()))) {
      const key = `${region} ${item.id}`;
      const before = found.get(key);
      if (before !== undefined && before.lastWordSeconds >= at) continue;
      found.set(key, { id: item.id, region, lastWordSeconds: at, isResolved: RESOLVED.test(words), title: item.title });
    }
  }
  return [...found.values()].sort((a, b) => b.lastWordSeconds - a.lastWordSeconds || (a.id < b.id ? -1 : 1));
}

/** Evidence for `assess`: the age of the newest unresolved incident in a region; undefined when there is none. */
export function incidentEvidence(
  incidents: readonly Incident[],
  region: string,
  nowSeconds: number,
): { readonly ageSeconds: number } | undefined {
  const open = incidents.find((incident) => incident.region === region && !incident.isResolved);
  return open === undefined ? undefined : { ageSeconds: Math.max(0, nowSeconds - open.lastWordSeconds) };
}
