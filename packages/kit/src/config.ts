// Configuration: a YAML file, then environment variables, through one zod schema. Unknown keys are refused.
import { readFile } from "node:fs/promises";
import { fault } from "@aether/contract";
import { parse } from "yaml";
import type { z } from "zod";

export interface ConfigSources {
  /** YAML file; absent: none. */
  readonly file?: string | undefined;
  /** Variables named PREFIX_KEY, nested with two underscores: AETHER_CORE_HTTP__PORT. */
  readonly prefix: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Values that win over both (command line). */
  readonly overrides?: Readonly<Record<string, unknown>>;
}

/**
 * Reads and validates. A variable's digits are a number, and true and false are booleans, unless the schema wants a text there.
 * Throws CONFIG_INVALID naming the key and where it came from.
 */
export async function loadConfig<Schema extends z.ZodType>(schema: Schema, sources: ConfigSources): Promise<z.infer<Schema>> {
  const fromFile = sources.file === undefined ? {} : await readYaml(sources.file);
  const variables = variablesOf(sources);
  const mergeAll = (texts: ReadonlySet<string>) => merge(merge(fromFile, fromEnvironment(variables, texts)), sources.overrides ?? {});
  let parsed = schema.safeParse(mergeAll(new Set()));
  if (!parsed.success) {
    const wanted = parsed.error.issues.filter((issue) => issue.code === "invalid_type" && issue.expected === "string");
    parsed = schema.safeParse(mergeAll(new Set(wanted.map((issue) => issue.path.join(".")))));
  }
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const unknown = issue?.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : [];
  const key = [...(issue?.path ?? []), ...unknown].join(".");
  const variable = variables.find(({ path }) => path.join(".") === key)?.name;
  const source = variable ?? sources.file;
  throw fault(
    "CONFIG_INVALID",
    `configuration${source === undefined ? "" : ` ${source}`}: ${key || "(top level)"}: ${unknown.length > 0 ? "no such key" : (issue?.message ?? "not valid")}`,
    { field: key },
  );
}

async function readYaml(file: string): Promise<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = parse(await readFile(file, "utf8"));
  } catch (cause) {
    throw fault("CONFIG_INVALID", `cannot read ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  if (parsed === null || parsed === undefined) return {};
  if (!isRecord(parsed)) throw fault("CONFIG_INVALID", `${file} must hold a mapping`);
  return parsed;
}

interface Variable {
  readonly name: string;
  readonly path: readonly string[];
  readonly text: string;
}

function variablesOf({ prefix, environment = process.env }: ConfigSources): Variable[] {
  return Object.entries(environment).flatMap(([name, text]) => {
    if (text === undefined || !name.startsWith(`${prefix}_`)) return [];
    const path = name.slice(prefix.length + 1).split("__");
    return [{ name, path: path.map(camelCase), text }];
  });
}

/** `texts`: the keys whose values stay texts whatever they look like. */
function fromEnvironment(variables: readonly Variable[], texts: ReadonlySet<string>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const { path, text } of variables) {
    let at = out;
    for (const part of path.slice(0, -1)) {
      const existing = at[part];
      const next = isRecord(existing) ? existing : {};
      at[part] = next;
      at = next;
    }
    const isLiteral = /^(\d+(\.\d+)?|true|false)$/.test(text) && !texts.has(path.join("."));
    at[path.at(-1) ?? ""] = isLiteral ? parse(text) : text;
  }
  return out;
}

const camelCase = (name: string) => name.toLowerCase().replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

function merge(under: Record<string, unknown>, over: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const out = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const existing = out[key];
    if (value !== undefined) out[key] = isRecord(existing) && isRecord(value) ? merge(existing, value) : value;
  }
  return out;
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
