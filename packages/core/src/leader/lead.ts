// How a process comes to lead, and what its port says until then: that it stands by, and who leads; or that it waits for its database.
import { type Logger, sleep } from "@aether/kit";
import type { CoreConfig } from "../config.ts";
import type { OpenDatabase } from "../db/database.ts";
import { postgresAnswers } from "../db/postgres.ts";
import { type Leadership, takeLeadership } from "./leadership.ts";
import { type StandbyServer, startStandbyServer } from "./standby-server.ts";

/** Waits as a standby until this process leads. */
export async function lead(
  { http, leadership: { leaseMs } }: CoreConfig,
  database: Pick<OpenDatabase, "leaderDb" | "claim" | "evict"> & { readonly owner: string },
  authorityPin: string,
  signal: AbortSignal,
  log: Logger,
): Promise<Leadership> {
  let standby: StandbyServer | undefined;
  let opening: Promise<void> = Promise.resolve();
  const say = (tell: (server: StandbyServer) => void) => {
    opening = opening.then(async () => {
      standby ??= await startStandbyServer(http.port, http.host);
      tell(standby);
    });
    opening.catch((caught: unknown) => log.warn({ err: caught }, "leadership.standby_port"));
  };
  try {
    const parts = { ...database, db: database.leaderDb, leaseMs, authorityPin, address: `http://${http.host}:${http.port}`, log };
    return await takeLeadership(
      parts,
      signal,
      (leader) => say((server) => server.tell(leader)),
      () => say((server) => server.tellAway()),
    );
  } finally {
    await opening.catch(() => undefined);
    await standby?.stop();
  }
}

const retryMs = 1_000;

/** Resolves when the database server answers again; rejects with the signal's reason. */
export async function untilDatabaseAnswers({ http, database }: CoreConfig, signal: AbortSignal, log: Logger): Promise<void> {
  if (database === undefined) return;
  const server = await startStandbyServer(http.port, http.host).catch((caught: unknown) => {
    log.warn({ err: caught }, "leadership.standby_port");
    return undefined;
  });
  server?.tellAway();
  try {
    do await sleep(retryMs, signal);
    while (!(await postgresAnswers(database)));
  } finally {
    await server?.stop();
  }
}
