// OpsService: the control plane looked after.
import { fault } from "@aether/contract";
import { GetConfigResponseSchema, OpsService } from "@aether/contract/gen/aether/v2/ops_pb";
import { type ConfigEntry, type Logger, sleep } from "@aether/kit";
import { create, type JsonValue } from "@bufbuild/protobuf";
import type { CoreConfig } from "../config.ts";
import type { OpenDatabase } from "../db/database.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { callerOf } from "../http/caller.ts";
import type { Part } from "../part.ts";
import { type BackupProgress, encrypterFor, removeSpools, sendAndRemove, writeBackup } from "./backup.ts";
import { chooseSnapshots, openSnapshots, type SnapshotSources } from "./bundled-snapshots.ts";
import { agentLogs, coreLog } from "./daemon-logs.ts";
import { diagnosticsBundle, diagnosticsManifest } from "./diagnostics.ts";
import type { RetentionRules } from "./retention-rules.ts";

export interface OpsOptions extends Pick<OpenDatabase, "db" | "engine">, SnapshotSources {
  readonly config: CoreConfig;
  /** Every key with its source, secrets covered. */
  readonly explained: readonly ConfigEntry[];
  readonly configFile: string;
  readonly metrics: () => Promise<string>;
  readonly sessions: AgentSessions;
  readonly retention: RetentionRules;
  readonly nowMs: () => number;
  readonly log: Logger;
}

const progressEveryMs = 300;

export function createOps(options: OpsOptions): Part {
  const { db, engine, config, explained, retention, nowMs, log } = options;
  const configAsJson = (): JsonValue => ({
    file: options.configFile,
    values: Object.fromEntries(explained.map(({ key, value, source }) => [key, { value: (value ?? null) as JsonValue, source }])),
  });
  const logs = { coreLog, agentLogs: (signal: AbortSignal) => agentLogs(options.sessions, signal) };
  const parts = { db, engine, config: configAsJson, metrics: options.metrics, ...logs, nowMs };
  const backupParts = {
    db,
    dataDir: config.dataDir,
    keyDir: config.authorityDir ?? config.dataDir,
    trustDomain: config.trustDomain,
    nowMs,
    log,
  };
  /** One at a time: each reads everything, and on the embedded database everybody else waits meanwhile. */
  let isBackingUp = false;

  return {
    start: () => removeSpools(config.dataDir),
    routes(router) {
      router.service(OpsService, {
        async getDiagnosticsManifest(request, context) {
          const { chosen, skipped } = await chooseSnapshots(options, request, context);
          return diagnosticsManifest(parts, [...chosen.map(({ part }) => part), ...skipped]);
        },
        async *downloadDiagnostics(request, context) {
          const name = `aether-diagnostics-${new Date(nowMs()).toISOString().slice(0, 19).replace(/:/g, "-")}.tar.gz`;
          context.responseHeader.set("aether-content-disposition", `attachment; filename="${name}"`);
          const { streamed, left } = await openSnapshots(options, await chooseSnapshots(options, request, context));
          yield* diagnosticsBundle(parts, streamed, left, context.signal);
        },
        async *createBackup(request, context) {
          const encrypter = encrypterFor(request);
          if (isBackingUp) throw fault("BACKUP_RUNNING", "a backup is being made");
          isBackingUp = true;
          const progress: BackupProgress = { part: "keys", partsDone: 0, partsTotal: 0 };
          try {
            const name = `aether-backup-${new Date(nowMs()).toISOString().slice(0, 19).replace(/:/g, "-")}.tar.gz.age`;
            context.responseHeader.set("aether-content-disposition", `attachment; filename="${name}"`);
            let file: string | undefined;
            const writing = writeBackup(backupParts, encrypter, request.includeTelemetry, progress, context.signal).then((made) => {
              file = made;
            });
            writing.catch(() => undefined); // awaited below
            while (file === undefined) {
              await Promise.race([writing, sleep(progressEveryMs, context.signal)]);
              yield { ...progress };
            }
            for await (const data of sendAndRemove(file)) yield { ...progress, data };
            log.info({ actor: callerOf(context).actor }, "backup.sent");
          } finally {
            isBackingUp = false;
          }
        },
        getConfig: () =>
          create(GetConfigResponseSchema, {
            file: options.configFile,
            values: explained.map(({ key, value, source, meaning = "" }) => ({
              key,
              valueJson: value === undefined || value === "(secret)" ? "" : JSON.stringify(value),
              source: sourceName(source, options.configFile),
              meaning,
              isSecret: value === "(secret)",
            })),
          }),
        getRetention: () => ({ retention: retention.show() }),
        async updateRetention({ change }, context) {
          await retention.change(change, callerOf(context).actor);
          return { retention: retention.show() };
        },
      });
    },
  };
}

function sourceName(source: string, file: string): string {
  if (source === "default") return "default";
  if (source === "command line") return "argument";
  return source === file ? "file" : "environment";
}
