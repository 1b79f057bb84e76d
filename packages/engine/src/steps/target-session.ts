// What a target knows of a move while its process lives, and the door through which the source's data comes in.
import { fault } from "@aether/contract";
import { run, type StandBy } from "@aether/kit";
import type { MigrationRef } from "../engine.ts";
import { answerSharedVolumes } from "../files/shared.ts";
import { receiveTree, type Tree, travellingTrees } from "../files/sync.ts";
import { createTreeHasher, type TreeDigest, type TreeHasher } from "../files/tree-digest.ts";
import { attributeReader } from "../files/xattrs.ts";
import type { Host } from "../host.ts";
import type { ImagePin } from "../image/images.ts";
import { receiveImage } from "../image/travel.ts";
import type { KernelWatch } from "../kernel/facts.ts";
import type { Link, LinkHeader } from "../link/link.ts";
import type { Arrival } from "../memory/arrival.ts";
import type { Hold } from "../network/hold.ts";
import type { EvidenceLeaves } from "../receipt/evidence.ts";
import { type Announced, type ReceivedImages, receiveImages, type SourceFacts } from "./images.ts";
import { imagesDir, type MigrationRecord, readMigration, writeMigration } from "./journal.ts";
import type { PageFetch } from "./page-fetch.ts";
import { createPlace, type Place } from "./place.ts";

/** After a restart a prepared move is aborted; a restored one can still be resumed. */
export interface TargetSession {
  /** Told shortly before the source stops the workload: how its images will come. Never comes from an older source. */
  readonly announced: Promise<Announced>;
  /** The source's files are final, and what it said of itself. */
  readonly facts: Promise<SourceFacts>;
  readonly images: Promise<ReceivedImages>;
  readonly hasher: TreeHasher;
  /** Undefined: files have come since they were last hashed and on the disk. */
  settled?: TreeDigest | undefined;
  /** What stands before the images come. */
  readonly place: Place;
  hold?: Hold | undefined;
  /** What arrives is held from now on. Not before the source is about to stop: whoever still takes this host for the workload's would wait through the whole copy. */
  beginHold?: () => Promise<void>;
  /** A restore waits for the announcement, and criu stands as soon as it comes. */
  isStanding?: boolean;
  /** Started ahead of the resume, so that only a write is left to do. */
  routes?: StandBy;
  /** Asks the kernel where the restored connections stand. */
  sequences?: StandBy;
  /** Pre-copy: what keeps the memory, and puts it in place. */
  arrival?: Arrival;
  /** So much comes. */
  memoryBytes?: number;
  /** Post-copy: what fetches the memory after the resume. */
  lazy?: PageFetch;
  /** Of what was restored; lost with this process, and then the receipt has the roots alone. */
  leaves?: EvidenceLeaves;
  shut(): void;
}

export interface TargetSessions {
  /** Lets the named node in. */
  open(ref: MigrationRef, spec: MigrationRecord["spec"] & object, sourceNodeId: string): TargetSession;
  get(ref: MigrationRef): TargetSession | undefined;
  /** Shuts the door and ends all that waits. Safe when there is none. */
  close(ref: MigrationRef): void;
}

export function createTargetSessions(host: Host, link: Link, watch: KernelWatch): TargetSessions {
  const sessions = new Map<string, TargetSession>();

  return {
    get: (ref) => sessions.get(ref.migrationId),

    open(ref, spec, sourceNodeId) {
      const announced = Promise.withResolvers<Announced>();
      const facts = Promise.withResolvers<SourceFacts>();
      const images = Promise.withResolvers<ReceivedImages>();
      const fail = (cause: unknown) => {
        announced.reject(cause);
        facts.reject(cause);
        images.reject(cause);
      };
      // Looked at by restore; a failure before it must not end the process.
      announced.promise.catch(() => undefined);
      facts.promise.catch(() => undefined);
      images.promise.catch(() => undefined);
      const trees = travellingTrees(host, spec);
      const imageTree: Tree[] = [];
      const gone = new AbortController();
      const shut = link.admit(ref.migrationId, sourceNodeId, async ({ socket, reader, header }) => {
        if (header.channel === "files") {
          session.settled = undefined;
          await session.place.clear();
          await receiveTree(host, ref.migrationId, [...trees, ...imageTree], header, socket, reader);
          await settleFiles(session, trees).catch(() => undefined); // warms; a tree that is not there yet is no matter here
          return;
        }
        if (header.channel === "image") {
          const door = {
            open(tree: Tree) {
              imageTree.push(tree);
              return () => imageTree.splice(0);
            },
            async keep(image: ImagePin) {
              const known = await readMigration(host, ref.migrationId);
              if (known !== undefined) await writeMigration(host, { ...known, image });
            },
          };
          return receiveImage(host, spec, socket, reader, door, gone.signal);
        }
        if (header.channel === "shared") return answerSharedVolumes(host, spec.volumes, socket, reader);
        if (header.coming !== undefined && session.arrival !== undefined) {
          const others = [...sessions.values()].filter((one) => one !== session).reduce((sum, one) => sum + (one.memoryBytes ?? 0), 0);
          placeWhileItComes(session, session.arrival, header.coming, others);
        }
        if (header.channel === "connection" && session.arrival !== undefined) return session.arrival.invite(link, sourceNodeId, { socket });
        if (header.channel === "memory" && session.arrival !== undefined)
          return session.arrival.take({ socket, reader }, header.transport ?? "plain");
        if (header.channel !== "images") throw fault("TRANSFER_FAILED", `the target has no channel ${header.channel}`);
        try {
          await session.beginHold?.(); // the source waits for our first answer before it leads anything here
          host.options.settle?.();
          const untilArrived = async (pass: number) => {
            await session.arrival?.arrived(pass);
            if (session.isStanding) await session.arrival?.placed(pass);
          };
          images.resolve(
            await receiveImages(socket, reader, imagesDir(host, ref.migrationId), facts.resolve, announced.resolve, untilArrived, () =>
              host.options.settle?.(),
            ),
          );
        } catch (caught) {
          fail(caught);
          throw caught;
        }
      });
      const session: TargetSession = {
        place: createPlace(host, () => session, watch, spec, imagesDir(host, ref.migrationId)),
        announced: announced.promise,
        facts: facts.promise,
        images: images.promise,
        hasher: createTreeHasher(attributeReader(host.options.tools.native)),
        shut() {
          shut();
          gone.abort(fault("CANCELLED", "the migration was aborted"));
          fail(fault("CANCELLED", "the migration was aborted"));
        },
      };
      sessions.set(ref.migrationId, session);
      return session;
    },

    close(ref) {
      const session = sessions.get(ref.migrationId);
      session?.shut();
      session?.hold?.quit();
      session?.routes?.drop();
      session?.sequences?.drop();
      session?.place.drop();
      session?.arrival?.kill();
      session?.lazy?.kill();
      sessions.delete(ref.migrationId);
    },
  };
}

/** For the journal: who holds packets now. */
export const heldBy = ({ hold }: TargetSession) => ({ holdPid: hold?.pid, holdMethod: hold?.method ?? ("none" as const) });

/** Whatever goes wrong with it, all is put in place later: when the source is about to stop, or after the resume. */
function placeWhileItComes(
  session: TargetSession,
  arrival: Arrival,
  { memoryBytes, isWritten, ...stdio }: NonNullable<LinkHeader["coming"]>,
  othersBytes: number,
): void {
  const { place } = session;
  session.memoryBytes = memoryBytes;
  if (!isWritten) arrival.expectIdle();
  place.begin({ ...stdio, isLazy: false, isPreCopied: true, hasSequences: true }, memoryBytes + othersBytes).catch(() => undefined);
  arrival.declined().then(place.giveUp, () => undefined);
}

/** What has arrived is hashed and on the disk. Paid for once a file: also after each copy, so that the freeze has little of it. */
export async function settleFiles(session: TargetSession, trees: readonly Tree[], signal?: AbortSignal): Promise<TreeDigest> {
  const digest = await session.hasher.digest(trees);
  if (digest.digest === session.settled?.digest) return digest;
  if (digest.count > trees.length) for (const { path } of trees) await run("sync", ["-f", path], { deadlineMs: 60_000, signal });
  session.settled = digest;
  return digest;
}
