// Configuration: a YAML file, then environment variables, through one zod schema. Unknown keys are refused.
import { readFile } from "node:fs/promises";
import { fault } from "@aether/contract";
import { z } from "zod";

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
 * Reads and validates. A variable's digits are a number, and true and false are booleans, unless the schema wants a text there; where it wants a
 * list, the variable has commas.
 * Throws CONFIG_INVALID naming the key and where it came from.
 */
export async function loadConfig<Schema extends z.ZodType>(schema: Schema, sources: ConfigSources): Promise<z.infer<Schema>> {
  return (await readConfig(schema, sources)).value;
}

/** One value of a configuration, and who says it. */
export interface ConfigEntry {
  /** With dots: http.port. */
  readonly key: string;
  /** Undefined: not set, and there is no default. */
  readonly value: unknown;
  /** default, the name of a variable, the path of the file, or "command line". */
  readonly source: string;
  /** What it is for, as its schema describes it. */
  readonly meaning?: string;
}

/** Every key of the schema with its value and where that came from, secrets (`.meta({ isSecret: true })`) covered. Throws as `loadConfig` does. */
export async function explainConfig(schema: z.ZodType, sources: ConfigSources): Promise<ConfigEntry[]> {
  const { value, fromFile, variables } = await readConfig(schema, sources);
  const has = (root: unknown, path: readonly string[]) => at(root, path) !== undefined;
  return keysOf(schema).map(({ path, isSecret, meaning }) => {
    const key = path.join(".");
    const found = at(value, path);
    const variable = variables.find((each) => each.path.join(".") === key);
    const source = has(sources.overrides, path)
      ? "command line"
      : variable !== undefined
        ? variable.name
        : has(fromFile, path)
          ? (sources.file ?? "")
          : "default";
    return { key, value: isSecret && found !== undefined ? "(secret)" : found, source, ...(meaning === undefined ? {} : { meaning }) };
  });
}

const at = (root: unknown, path: readonly string[]): unknown =>
  path.reduce<unknown>((value, name) => (isRecord(value) ? value[name] : undefined), root);

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly anyOf?: readonly JsonSchema[];
  readonly isSecret?: boolean;
  readonly description?: string;
}

interface Key {
  readonly path: string[];
  readonly isSecret: boolean;
  readonly meaning: string | undefined;
}

/** The leaves of a schema of nested objects, in their order. */
function keysOf(schema: z.ZodType): Key[] {
  const walk = (node: JsonSchema, path: string[]): Key[] => {
    const { properties } = node.properties === undefined ? (node.anyOf?.find((each) => each.properties !== undefined) ?? {}) : node;
    if (properties === undefined) {
      return [{ path, isSecret: node.isSecret === true, meaning: node.description }];
    }
    return Object.entries(properties).flatMap(([name, inner]) => walk(inner, [...path, name]));
  };
  return walk(z.toJSONSchema(schema, { io: "output", unrepresentable: "any" }) as JsonSchema, []);
}

async function readConfig<Schema extends z.ZodType>(schema: Schema, sources: ConfigSources) {
  const fromFile = sources.file === undefined ? {} : await readYaml(sources.file);
  const variables = variablesOf(sources);
  const mergeAll = (texts: ReadonlySet<string>, lists: ReadonlySet<string>) =>
    merge(merge(fromFile, fromEnvironment(variables, texts, lists)), sources.overrides ?? {});
  let parsed = schema.safeParse(mergeAll(new Set(), new Set()));
  if (!parsed.success) {
    const expecting = (type: string) =>
      new Set(
        parsed.error?.issues
          .filter((issue) => issue.code === "invalid_type" && issue.expected === type)
          .map((issue) => issue.path.join(".")),
      );
    parsed = schema.safeParse(mergeAll(expecting("string"), expecting("array")));
  }
  if (parsed.success) return { value: parsed.data as z.infer<Schema>, fromFile, variables };
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
    const text = await readFile(file, "utf8");
    parsed = jsonIn(text) ?? (await import("yaml")).parse(text);
  } catch (cause) {
    throw fault("CONFIG_INVALID", `cannot read ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  if (parsed === null || parsed === undefined) return {};
  if (!isRecord(parsed)) throw fault("CONFIG_INVALID", `${file} must hold a mapping`);
  return parsed;
}

/** JSON is YAML: what programs write for programs needs no parser of 70 modules, which would stay in memory. */
function jsonIn(text: string): unknown {
  if (!text.trimStart().startsWith("{")) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // YAML's own braces
  }
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

/** `texts`: the keys whose values stay texts whatever they look like; `lists`: those that are lists, with commas. */
function fromEnvironment(variables: readonly Variable[], texts: ReadonlySet<string>, lists: ReadonlySet<string>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const { path, text } of variables) {
    let target = out;
    for (const part of path.slice(0, -1)) {
      const existing = target[part];
      const next = isRecord(existing) ? existing : {};
      target[part] = next;
      target = next;
    }
    if (lists.has(path.join("."))) {
      target[path.at(-1) ?? ""] = text.split(",").map((each) => each.trim());
      continue;
    }
    const isLiteral = /^(\d+(\.\d+)?|true|false)$/.test(text) && !texts.has(path.join("."));
    target[path.at(-1) ?? ""] = isLiteral ? literal(text) : text;
  }
  return out;
}

const literal = (text: string): number | boolean => (text === "true" || text === "false" ? text === "true" : Number(text));

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
