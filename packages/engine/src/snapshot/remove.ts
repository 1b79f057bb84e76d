// A snapshot goes, and with it the chunks that no other one names: snapshots share them, those of one workload most of all.
import { readHead } from "./manifest.ts";
import type { SnapshotStore } from "./store.ts";

/** Removing what is gone changes nothing. Chunks stay for the next removal while a snapshot is being made, or where a manifest cannot be read. */
export async function removeSnapshot(store: SnapshotStore, snapshotId: string): Promise<void> {
  await store.deleteManifest(snapshotId);
  await store.sweep(async () => {
    const used = new Set<string>();
    for (const id of await store.listManifests()) {
      const bytes = await store.getManifest(id);
      // What cannot be read might need anything: it throws, and nothing is swept.
      if (bytes !== undefined) for (const chunk of readHead(id, bytes).head.chunks) used.add(chunk);
    }
    return used;
  });
}
