// The runbooks that can be run: those that are built in, and those that somebody has written, with their versions.
import { fault, parseLabel } from "@aether/contract";
import { type Runbook, RunbookSchema } from "@aether/contract/gen/aether/v2/runbook_pb";
import type { Db } from "../db/database.ts";
import { toColumn } from "../db/proto.ts";
import type { Events } from "../events/events.ts";
import type { Caller } from "../http/caller.ts";
import { cutPage, type Page } from "../http/page-request.ts";
import { createVersions } from "../versions/versions.ts";
import { builtIn } from "./built-in.ts";
import { parseRunbook } from "./definition.ts";
import { toRunbook } from "./store.ts";

export interface LibraryOptions {
  readonly db: Db;
  readonly events: Events;
  readonly nowMs: () => number;
}

export interface Library {
  /** @param version 0: the one that is run now. Throws RUNBOOK_NOT_FOUND. */
  find(name: string, version: number): Promise<Runbook>;
  list(page: Page): Promise<{ runbooks: Runbook[]; nextPageToken: string }>;
  /** The newest first. @param after a version; 0: from the newest on. Throws RUNBOOK_NOT_FOUND. */
  versions(name: string, page: { limit: number; after: number }): Promise<{ runbooks: Runbook[]; nextPageToken: string }>;
  /** Throws RUNBOOK_BUILT_IN. */
  refuseBuiltIn(name: string, field: string): void;
  /** Of one that was parsed. */
  set(runbook: Runbook, caller: Caller): Promise<Runbook>;
  /** Throws RUNBOOK_NOT_FOUND, RUNBOOK_BUILT_IN. */
  remove(name: string, caller: Caller): Promise<void>;
}

export function createLibrary(options: LibraryOptions): Library {
  const written = createVersions({
    ...options,
    table: "runbooks",
    noun: "runbook",
    plural: "runbooks",
    notFound: "RUNBOOK_NOT_FOUND",
    stays: () => "its versions and runs stay readable",
  });
  const builtInOf = (name: string) => builtIn.find((each) => each.name === name);
  const refuseBuiltIn = (name: string, field: string) => {
    if (builtInOf(name) !== undefined) throw fault("RUNBOOK_BUILT_IN", `${name} comes with the control plane`, { field });
  };

  return {
    refuseBuiltIn,
    async find(name, version) {
      const own = builtInOf(name);
      if (own === undefined) return toRunbook(await written.read(name, version));
      if (version === 0 || version === own.version) return own;
      throw fault("RUNBOOK_NOT_FOUND", `there is no version ${version} of the runbook ${name}`, { field: "version" });
    },
    async set(runbook, caller) {
      const definition = toColumn(RunbookSchema, runbook);
      const isSame = (row: Parameters<typeof toRunbook>[0]) => toColumn(RunbookSchema, parseRunbook(toRunbook(row))) === definition;
      return toRunbook(await written.set(runbook.name, { definition }, caller, isSame));
    },
    async list({ limit, after = "" }) {
      const own = (await written.inForce()).filter(({ name }) => name > after && builtInOf(name) === undefined).map(toRunbook);
      const all = [...own, ...builtIn.filter(({ name }) => name > after)].sort((a, b) => (a.name < b.name ? -1 : 1));
      const { rows: runbooks, nextPageToken } = cutPage(all, limit, ({ name }) => name);
      return { runbooks, nextPageToken };
    },
    async versions(name, page) {
      const own = builtInOf(parseLabel(name, "name"));
      if (own !== undefined) return { runbooks: page.after === 0 ? [own] : [], nextPageToken: "" };
      const { rows, nextPageToken } = await written.ofName(name, page);
      return { runbooks: rows.map(toRunbook), nextPageToken };
    },
    async remove(name, caller) {
      refuseBuiltIn(parseLabel(name, "name"), "name");
      await written.remove(name, caller);
    },
  };
}
