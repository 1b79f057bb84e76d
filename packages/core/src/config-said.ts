import { type ConfigEntry, type ConfigSources, explainConfig } from "@aether/kit";
import { coreConfig } from "./config.ts";

/** Where the configuration's values are from, for whoever asks. */
export interface ConfigSaid {
  readonly explained: readonly ConfigEntry[];
  readonly configFile: string;
}

export async function sayConfig(sources: Omit<ConfigSources, "prefix">): Promise<ConfigSaid> {
  return { explained: await explainConfig(coreConfig, { prefix: "AETHER_CORE", ...sources }), configFile: sources.file ?? "" };
}
