// A runbook as people write it, in a file or on the page: YAML (or JSON) with the contract's names. `read` and `write` are each other's inverse.
import { fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { isNode, LineCounter, parse, parseDocument, stringify } from "yaml";
import { fault } from "./faults.ts";
import { type Runbook, RunbookSchema, StepFailure } from "./gen/aether/v2/runbook_pb.ts";

const failures = { stop: StepFailure.STOP, continue: StepFailure.CONTINUE, undo: StepFailure.UNDO } as const;

const isObject = (value: JsonValue | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const invalid = (field: string, message: string) => fault("INVALID_ARGUMENT", `${field} ${message}`, { field });

/** Throws INVALID_ARGUMENT, naming what is not understood. What it says is for the control plane to judge. */
export function readRunbook(text: string): Runbook {
  let said: JsonValue;
  try {
    said = parse(text) as JsonValue;
  } catch (cause) {
    throw fault("INVALID_ARGUMENT", `this is neither YAML nor JSON: ${cause instanceof Error ? cause.message : ""}`, {
      cause,
    });
  }
  if (!isObject(said)) throw fault("INVALID_ARGUMENT", "a runbook is needed: name, description, parameters, steps");
  const { parameters, steps } = said;
  const json: JsonObject = {
    ...said,
    ...(parameters === undefined ? {} : { parameters: each(parameters, "parameters", parameter) }),
    ...(steps === undefined ? {} : { steps: each(steps, "steps", step) }),
  };
  try {
    return fromJson(RunbookSchema, json);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.replaceAll("aether.v2.", "") : "";
    throw fault("INVALID_ARGUMENT", `this is no runbook: ${why}`, {
      cause,
      hint: "`aether runbook show retire-node` shows one that is.",
    });
  }
}

function each(list: JsonValue, field: string, make: (item: JsonObject, field: string) => JsonObject): JsonValue {
  if (list === null) return [];
  if (!Array.isArray(list)) throw invalid(field, "must be a list");
  return list.map((item, i) => {
    if (!isObject(item)) throw invalid(`${field}[${i}]`, "must have a name");
    return make(item, `${field}[${i}]`);
  });
}

function parameter({ default: standard, ...rest }: JsonObject): JsonObject {
  return { ...rest, ...(standard === undefined ? {} : { defaultValue: plain(standard) }) };
}

function step({ inputs, on_failure, ...rest }: JsonObject, field: string): JsonObject {
  if (inputs !== undefined && inputs !== null && !isObject(inputs)) throw invalid(`${field}.inputs`, "must be names with values");
  const failure = on_failure === undefined ? undefined : failures[String(on_failure) as keyof typeof failures];
  if (on_failure !== undefined && failure === undefined) throw invalid(`${field}.on_failure`, "must be stop, continue or undo");
  return {
    ...rest,
    ...(failure === undefined ? {} : { onFailure: failure }),
    inputs: Object.fromEntries(
      Object.entries(inputs ?? {}).map(([name, value]) => {
        if (value === undefined || (typeof value === "object" && value !== null))
          throw invalid(`${field}.inputs.${name}`, "must be one value");
        return [name, plain(value)];
      }),
    ),
  };
}

/** Numbers and yes/no as the text that they were. */
const plain = (value: JsonValue): string => (value === null ? "" : value === true ? "yes" : value === false ? "no" : String(value));

export function writeRunbook({ name, description, parameters, steps }: Runbook): string {
  return stringify(
    {
      name,
      ...(description === "" ? {} : { description }),
      ...(parameters.length === 0
        ? {}
        : {
            parameters: parameters.map((each) => ({
              name: each.name,
              type: each.type,
              ...(each.description === "" ? {} : { description: each.description }),
              ...(each.defaultValue === undefined ? {} : { default: each.defaultValue }),
              ...(each.choices.length === 0 ? {} : { choices: each.choices }),
            })),
          }),
      steps: steps.map((each) => ({
        name: each.name,
        act: each.act,
        ...(Object.keys(each.inputs).length === 0 ? {} : { inputs: each.inputs }),
        ...(each.onFailure === StepFailure.CONTINUE ? { on_failure: "continue" } : {}),
        ...(each.onFailure === StepFailure.UNDO ? { on_failure: "undo" } : {}),
        ...(each.timeoutSeconds === 0 ? {} : { timeout_seconds: each.timeoutSeconds }),
      })),
    },
    { lineWidth: 0 },
  );
}

/** Where in the text a field is written, or the nearest thing around it that is. Lines and columns are counted from 1, offsets from 0. */
export interface Place {
  readonly line: number;
  readonly from: number;
  readonly to: number;
}

/**
 * @param field as an error names it: "runbook.steps[2].inputs.seconds"
 * @returns undefined: the text cannot be read at all, or nothing of the field's path is written in it
 */
export function placeOf(text: string, field: string): Place | undefined {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const path = [...field.matchAll(/[^.[\]]+/g)]
    .map(([part]) => (/^\d+$/.test(part) ? Number(part) : part === "default_value" ? "default" : part))
    .filter((part, i) => !(i === 0 && part === "runbook"));
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    if (!isNode(node) || !node.range) continue;
    const [from, to] = node.range;
    return { line: lines.linePos(from).line, from, to };
  }
  return undefined;
}
