// PGlite's files, safe against loss of power. Emscripten's NODEFS has no fsync: PostgreSQL's calls for it would do nothing, and PGlite starts it with
// fsync off. Here each call reaches the disk, and PostgreSQL is asked to make them: a commit is answered when its log is on the disk.
// Imports nothing of the project: it runs in the worker, from src and dist alike.
import fs from "node:fs";
import { dirname } from "node:path";
import { PGlite, type PGliteOptions } from "@electric-sql/pglite";
import { NodeFS } from "@electric-sql/pglite/nodefs";

/** The parts of Emscripten's NODEFS that are used. */
interface NodeFiles {
  stream_ops: { fsync?: (stream: OpenFile) => number };
  realPath(node: unknown): string;
}
interface OpenFile {
  readonly nfd?: number;
  readonly node: unknown;
}

class DurableFiles extends NodeFS {
  override async init(...[pg, options]: Parameters<NodeFS["init"]>): ReturnType<NodeFS["init"]> {
    const made = await super.init(pg, options);
    const hook = (module: unknown) => {
      const files = (module as { NODEFS: NodeFiles }).NODEFS;
      /** A file that is new, or has a new name (a recycled log segment), is safe when its directory is. */
      const known = new Set<string>();
      files.stream_ops.fsync = (stream) => {
        const path = files.realPath(stream.node);
        if (stream.nfd !== undefined) fs.fsyncSync(stream.nfd);
        const parent = dirname(path);
        if (!known.has(path)) syncDirectory(parent);
        if (known.size > 10_000) known.clear();
        known.add(path);
        return 0;
      };
    };
    return { ...made, emscriptenOpts: { ...made.emscriptenOpts, preRun: [...(made.emscriptenOpts.preRun ?? []), hook] } };
  }
}

function syncDirectory(path: string): void {
  const fd = fs.openSync(path, "r");
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** `wal_sync_method`: of the calls that Emscripten passes on, only fsync arrives; fdatasync is answered without being asked. */
const settings = ["-c", "fsync=on", "-c", "wal_sync_method=fsync"];

/** What PGlite.create takes for this directory. */
export function durableOptions(dir: string): PGliteOptions {
  // -F is the same as fsync=off.
  return { fs: new DurableFiles(dir), startParams: [...PGlite.defaultStartParams.filter((each) => each !== "-F"), ...settings] };
}
