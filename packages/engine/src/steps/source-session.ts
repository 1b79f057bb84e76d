// What a source knows of a move while its process lives (a restart does without), and the door through which the target asks for pages.
import { fault } from "@aether/contract";
import type { LazyDump } from "../checkpoint/lazy-dump.ts";
import type { MigrationRef } from "../engine.ts";
import { createTreeHasher, type TreeHasher } from "../files/tree-digest.ts";
import { attributeReader } from "../files/xattrs.ts";
import type { Host } from "../host.ts";
import type { KernelWatch } from "../kernel/facts.ts";
import type { Link } from "../link/link.ts";
import type { Ahead } from "../memory/ahead.ts";
import type { DirtyRate } from "../memory/dirty-rate.ts";
import type { PageServer } from "../memory/page-server.ts";

export interface SourceSession {
  readonly hasher: TreeHasher;
  /** State of the trees before the last copy began: equal at the freeze means that nothing has to be sent. */
  stamp?: string;
  lazy?: LazyDump;
  /** Post-copy: who carries its pages. */
  pages?: PageServer;
  ahead?: Ahead;
  shut(): void;
}

export interface SourceSessions {
  /** Lets the target in. The same one when there is one already. */
  open(ref: MigrationRef, targetNodeId: string): SourceSession;
  /** Shuts the door and ends all that works for the move. Safe when there is none. */
  end(ref: MigrationRef): void;
}

export function createSourceSessions(host: Host, link: Link, watch: KernelWatch, dirty: DirtyRate): SourceSessions {
  const sessions = new Map<string, SourceSession>();

  return {
    open(ref, targetNodeId) {
      const existing = sessions.get(ref.migrationId);
      if (existing !== undefined) return existing;
      const shut = link.admit(ref.migrationId, targetNodeId, async ({ socket, reader, header }) => {
        const { pages } = sessions.get(ref.migrationId) ?? {};
        if (header.channel === "connection" && pages !== undefined) return pages.invite({ socket });
        if (header.channel !== "pages" || pages === undefined) throw fault("TRANSFER_FAILED", "the source serves pages only");
        await pages.carry({ socket, reader });
      });
      const session: SourceSession = { hasher: createTreeHasher(attributeReader(host.options.tools.native)), shut };
      sessions.set(ref.migrationId, session);
      return session;
    },

    end(ref) {
      watch.drop(ref.workload);
      dirty.speak(ref.workload);
      const session = sessions.get(ref.migrationId);
      session?.lazy?.kill();
      session?.pages?.kill();
      session?.ahead?.close();
      session?.shut();
      sessions.delete(ref.migrationId);
    },
  };
}
