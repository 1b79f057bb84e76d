export { type CoreConfig, type CoreConfigInput, coreConfig } from "./config.ts";
export { type RunningCore, runCore } from "./core.ts";
export { prepareSeed as prepareDatabase } from "./db/seed.ts";
export { type Restored, type RestoreOptions, restoreBackup } from "./ops/restore.ts";
export { type RiskServerOptions, serveRisk } from "./risk/serve.ts";
export { type CoreRunOptions, run } from "./run.ts";
