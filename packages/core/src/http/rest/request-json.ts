// Puts a request message together from path variables, query parameters and body. Path wins over query and body.
import { fault } from "@aether/contract";
import { type DescField, type DescMessage, fromJson, type JsonObject, type JsonValue, type Message, ScalarType } from "@bufbuild/protobuf";
import type { Binding } from "./bindings.ts";

/** Throws INVALID_ARGUMENT naming the field. */
export function parseRequest(binding: Binding, match: RegExpExecArray, query: URLSearchParams, body: JsonValue | undefined): Message {
  const json = requestJson(binding, match, query, body);
  try {
    return fromJson(binding.method.input, json);
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    const field = fieldInMessage(text);
    // The text names the message, the field and what is wrong with it: "cannot decode field aether.v2.X.y from JSON: …".
    throw fault("INVALID_ARGUMENT", text, { cause, ...(field === undefined ? {} : { field }) });
  }
}

function requestJson(binding: Binding, match: RegExpExecArray, query: URLSearchParams, body: JsonValue | undefined): JsonObject {
  const { input } = binding.method;
  const root: JsonObject = {};
  if (binding.body === "*") {
    if (body !== undefined && body !== null && !isObject(body)) throw fault("INVALID_ARGUMENT", "the body must be a JSON object");
    if (isObject(body)) Object.assign(root, body);
  } else if (binding.body !== "") {
    const field = fieldOf(input, binding.body);
    if (field === undefined) throw fault("INTERNAL", `${binding.template}: there is no field ${binding.body}`);
    root[field.jsonName] = body ?? {};
  } else if (body !== undefined && body !== null && !(isObject(body) && Object.keys(body).length === 0)) {
    throw fault("INVALID_ARGUMENT", `${binding.verb} ${binding.template} takes no body`);
  }
  if (binding.body !== "*") {
    for (const key of new Set(query.keys())) assign(root, input, key.split("."), query.getAll(key));
  } else {
    const [unknown] = query.keys();
    if (unknown !== undefined) throw fault("INVALID_ARGUMENT", `"${unknown}" belongs into the body`, { field: unknown });
  }
  for (const [i, path] of binding.variables.entries()) assign(root, input, path, [decode(match[i + 1] ?? "", path.join("."))]);
  return root;
}

/** Writes text from the path or the query into a JSON object, following a field path of any depth. */
function assign(root: JsonObject, type: DescMessage, path: readonly string[], values: readonly string[]): void {
  let target = root;
  let message = type;
  for (const [i, name] of path.entries()) {
    const field = fieldOf(message, name);
    if (field === undefined) throw fault("INVALID_ARGUMENT", `there is no parameter "${path.join(".")}"`, { field: path.join(".") });
    if (i < path.length - 1) {
      if (field.fieldKind !== "message") throw fault("INVALID_ARGUMENT", `"${name}" has no fields`, { field: path.join(".") });
      const existing = target[field.jsonName];
      const next: JsonObject = isObject(existing) ? existing : {};
      target[field.jsonName] = next;
      target = next;
      message = field.message;
    } else if (field.fieldKind === "list") {
      const existing = target[field.jsonName];
      target[field.jsonName] = [...(Array.isArray(existing) ? existing : []), ...values.map((value) => scalarJson(field, value))];
    } else if (values.length > 1) {
      throw fault("INVALID_ARGUMENT", `"${path.join(".")}" is given more than once`, { field: path.join(".") });
    } else {
      target[field.jsonName] = scalarJson(field, values[0] ?? "");
    }
  }
}

/** Numbers, enumerations, timestamps, durations and bytes all have a form as text in ProtoJSON; truth values have none. */
function scalarJson(field: DescField, text: string): JsonValue {
  if (field.scalar === ScalarType.BOOL && (text === "true" || text === "false")) return text === "true";
  return text;
}

function decode(text: string, field: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw fault("INVALID_ARGUMENT", `${field} is not percent-encoded UTF-8`, { field, cause });
  }
}

/** By the name of the .proto file or its JSON form. */
export function fieldOf(message: DescMessage, name: string): DescField | undefined {
  return message.fields.find((field) => field.name === name || field.jsonName === name);
}

function fieldInMessage(text: string): string | undefined {
  return /field (?:[a-zA-Z0-9_]+\.)*([a-zA-Z0-9_]+) from JSON/.exec(text)?.[1] ?? /key "([^"]{1,60})" is unknown/.exec(text)?.[1];
}

const isObject = (value: unknown): value is JsonObject => typeof value === "object" && value !== null && !Array.isArray(value);
