// Where a restore happens: what stands before its images come. criu with our keeper's memory stands as soon as memory is copied, so that what arrives is put in place while more
// comes; the root, which files may still come for, and the rest stand when the source is about to stop.
import { freemem, totalmem } from "node:os";
import { sleep } from "@aether/kit";
import { type ReadyRestore, readyRestore } from "../checkpoint/criu.ts";
import type { WorkloadSpec } from "../engine.ts";
import type { Host } from "../host.ts";
import type { ImagePin } from "../image/images.ts";
import type { KernelWatch } from "../kernel/facts.ts";
import { inheritSocket } from "../memory/arrival.ts";
import { readyRoutes } from "../network/workload-network.ts";
import { readySequences } from "../receipt/sequences.ts";
import { mountRootfs, unmountRootfs } from "../runtime/rootfs.ts";
import type { Announced } from "./images.ts";
import type { TargetSession } from "./target-session.ts";

/** What is mounted before a criu has mounts of its own is seen in those, which is no harm. */
const standingWithinMs = 500;

/** What waits for the images. */
export interface Standing {
  readonly criu: ReadyRestore;
  readonly for: Announced;
  /** It sees what is mounted when it goes: what stands on the files can be taken away without it. */
  readonly areMountsLate: boolean;
}

export interface Place {
  /**
   * Memory begins to come: criu stands for it from now on, where there is room for it twice. Else it stands when `stand` is called; a failure is tried again then, too.
   * @param coming how the images will come, as far as it is known. @param memoryBytes of all moves to this host: each may fill what the other sees free
   */
  begin(coming: Announced, memoryBytes: number): Promise<void>;
  /** Stands there already, with the root on the files that are there now, or is made. */
  stand(coming: Announced, image: ImagePin | undefined): Promise<Standing>;
  /** Nothing stands on the files any more when this returns. */
  clear(): Promise<void>;
  /** What stands for memory that it cannot inherit goes, and the pages that it has. */
  giveUp(): Promise<void>;
  /** The restore has ended, whatever came of it: what stands now stays. */
  leave(): void;
  /** Ends what waits, at once. */
  drop(): void;
}

/** @param sessionOf the move's: its arrival, and what is started ahead of the resume */
export function createPlace(
  host: Host,
  sessionOf: () => Pick<TargetSession, "arrival" | "routes" | "sequences">,
  watch: KernelWatch,
  spec: WorkloadSpec,
  images: string,
): Place {
  let standing: Promise<Standing> | undefined;
  let ending: Promise<void> = Promise.resolve();
  let criu: ReadyRestore | undefined;
  let isMounted = false;
  let isDue = false;
  let isOver = false;
  let isLeft = false;

  async function mount(image: ImagePin | undefined): Promise<void> {
    if (!isMounted) await mountRootfs(host, spec, image);
    isMounted = true;
  }
  async function unmount(): Promise<void> {
    isMounted = false;
    await unmountRootfs(host, spec.name);
  }

  /** criu. Where it does not see what is mounted later, that is there before. */
  async function start(coming: Announced, image?: ImagePin): Promise<Standing> {
    const arrival = inheriting(coming);
    if (arrival === undefined) await mount(image);
    criu = await readyRestore(host, spec, images, {
      isLazy: coming.isLazy || coming.isPreCopied,
      ...(arrival === undefined ? {} : { inheritFrom: inheritSocket }),
      stdio: coming,
      isLeftStopped: true,
    });
    if (isOver) criu.drop();
    return { criu, for: coming, areMountsLate: arrival !== undefined };
  }
  const inheriting = (coming: Announced) => (coming.isPreCopied && host.criuInherits ? sessionOf().arrival : undefined);

  function end(): Promise<void> {
    const before = standing;
    standing = undefined;
    if (before !== undefined)
      ending = ending.then(async () => {
        await (await before.catch(() => undefined))?.criu.end();
        await unmount();
      });
    return ending;
  }

  return {
    async begin(coming, memoryBytes) {
      if (standing !== undefined || isDue || inheriting(coming) === undefined || !isRoomy(memoryBytes)) return;
      standing = start(coming);
      await standing.catch(() => undefined);
    },
    async stand(coming, image) {
      const isFirst = !isDue;
      const wasDropped = isOver;
      isOver = isLeft = false;
      isDue = true; // what stands is not given up any more
      if (isFirst) await watch.arm(spec.name);
      let there = await standing?.catch(() => undefined);
      if (there === undefined || wasDropped || there.criu.hasEnded() || !isSame(there.for, coming)) {
        await end();
        standing = start(coming, image);
        there = await standing;
      }
      const session = sessionOf();
      session.routes ??= readyRoutes(host);
      if (coming.hasSequences) session.sequences ??= await readySequences(host, spec.name);
      const arrival = inheriting(coming);
      if (arrival !== undefined) await Promise.race([arrival.standing(), sleep(standingWithinMs)]);
      await mount(image);
      return there;
    },
    async clear() {
      if (isLeft) return;
      const there = await standing?.catch(() => undefined);
      await (there?.areMountsLate ? unmount() : end());
    },
    giveUp: async () => (isDue ? undefined : end()),
    leave() {
      isLeft = true;
    },
    drop() {
      isOver = true;
      criu?.drop();
    },
  };
}

/** A keeper has it all, and so has its criu; and both grow with what the workload writes meanwhile. */
const isRoomy = (memoryBytes: number): boolean => freemem() > 2.25 * memoryBytes + totalmem() / 16 + (256 << 20);

const isSame = (a: Announced, b: Announced): boolean =>
  a.stdout === b.stdout && a.stderr === b.stderr && a.isLazy === b.isLazy && a.isPreCopied === b.isPreCopied;
