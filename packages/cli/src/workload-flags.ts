// The flags of `aether run` that have a grammar of their own. What they refuse names the field.
import { fault } from "@aether/contract";
import type { HealthCheckSchema } from "@aether/contract/gen/aether/v2/common_pb";
import type { VolumeSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import type { MessageInitShape } from "@bufbuild/protobuf";

const invalid = (field: string, text: string, wanted: string) =>
  fault("INVALID_ARGUMENT", `${field} must be ${wanted}, not ${JSON.stringify(text.slice(0, 80))}`, {
    field,
    hint: `Example: ${examples[field] ?? ""}`,
  });

const examples: Record<string, string> = {
  health: "--health tcp:6379",
  volume: "--volume /srv/data:/data:sync",
  env: "--env MODE=production",
  label: "--label tier=db",
};

/** tcp:PORT, http:URL, or exec:COMMAND ARG… (split at spaces; no shell). */
export function parseHealth(text: string): MessageInitShape<typeof HealthCheckSchema> {
  const [kind = "", rest = ""] = splitOnce(text, ":");
  if (kind === "tcp" && /^\d{1,5}$/.test(rest) && Number(rest) > 0 && Number(rest) < 65_536)
    return { kind: { case: "tcpPort", value: Number(rest) } };
  if (kind === "http" && rest !== "" && !/^https:/.test(rest)) {
    const url = /^http:\/\//.test(rest) ? rest : `http:${rest.startsWith("//") ? rest : `//${rest}`}`;
    if (URL.canParse(url.replace("//:", "//workload:"))) return { kind: { case: "httpUrl", value: url } };
  }
  if (kind === "exec" && rest.trim() !== "") return { kind: { case: "exec", value: { argv: rest.trim().split(/\s+/) } } };
  throw invalid("health", text, "tcp:PORT, http:URL or exec:COMMAND");
}

/** SRC:DST:shared or SRC:DST:sync, both absolute. */
export function parseVolume(text: string): MessageInitShape<typeof VolumeSchema> {
  const parts = text.split(":");
  const [source = "", destination = "", mode = ""] = parts;
  const number = { shared: 1, sync: 2 }[mode];
  if (parts.length !== 3 || number === undefined || !source.startsWith("/") || !destination.startsWith("/") || destination === "/") {
    throw invalid("volume", text, "SRC:DST:shared or SRC:DST:sync with absolute paths");
  }
  return { source, destination, mode: number };
}

/** NAME=VALUE, each name once. */
export function parseEnvironment(entries: readonly string[]): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const entry of entries) {
    const [name = "", value] = splitOnce(entry, "=");
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || value === undefined || value.includes("\0") || Object.hasOwn(environment, name)) {
      throw invalid("env", entry, "NAME=VALUE, each name once");
    }
    environment[name] = value;
  }
  return environment;
}

/** NAME=VALUE, each name once. What words may be, the control plane says. */
export function parseLabels(entries: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const entry of entries) {
    const [name, value] = splitOnce(entry, "=");
    if (!/^[A-Za-z0-9._/-]{1,63}$/.test(name) || value === undefined || Object.hasOwn(labels, name)) {
      throw invalid("label", entry, "NAME=VALUE, each name once");
    }
    labels[name] = value;
  }
  return labels;
}

function splitOnce(text: string, at: string): [string, string | undefined] {
  const index = text.indexOf(at);
  return index === -1 ? [text, undefined] : [text.slice(0, index), text.slice(index + at.length)];
}
