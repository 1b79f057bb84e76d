// A runbook at the edge: whole or refused, with the field that is wrong. Then, for a run, with its parameters in place. Pure.
import { fault, parseLabel, Role } from "@aether/contract";
import {
  type Runbook,
  type RunbookParameter,
  RunbookSchema,
  type RunbookStep,
  StepFailure,
} from "@aether/contract/gen/aether/v2/runbook_pb";
import { create } from "@bufbuild/protobuf";
import { roleOf } from "../access/roles.ts";
import type { Act, InputSpec, Inputs, ValueType } from "./acts/act.ts";
import { findAct } from "./acts/index.ts";

const mostParameters = 20;
const mostSteps = 50;
const mostText = 1_000;
const longestSeconds = 7 * 86_400;
const types: readonly ValueType[] = ["node", "workload", "number", "text", "choice"];

const invalid = (field: string, message: string) => fault("INVALID_ARGUMENT", `${field} ${message}`, { field });

/** Throws INVALID_ARGUMENT, naming the field. */
export function parseRunbook(runbook: Runbook | undefined): Runbook {
  if (runbook === undefined) throw invalid("runbook", "is missing");
  const name = parseLabel(runbook.name, "runbook.name");
  const description = parseText(runbook.description, "runbook.description", 2 * mostText);
  const { parameters, steps } = runbook;
  if (parameters.length > mostParameters) throw invalid("runbook.parameters", `are more than ${mostParameters}`);
  if (steps.length === 0) throw invalid("runbook.steps", "are missing: a runbook does something");
  if (steps.length > mostSteps) throw invalid("runbook.steps", `are more than ${mostSteps}`);
  for (const [i, parameter] of parameters.entries()) checkParameter(parameter, `runbook.parameters[${i}]`);
  refuseTwice(parameters, "runbook.parameters");
  for (const [i, step] of steps.entries()) checkStep(step, parameters, `runbook.steps[${i}]`);
  refuseTwice(steps, "runbook.steps");
  const used = new Set(steps.flatMap(({ inputs }) => Object.values(inputs).flatMap(namesIn)));
  for (const [i, parameter] of parameters.entries())
    if (!used.has(parameter.name)) throw invalid(`runbook.parameters[${i}]`, `is used by no step: $${parameter.name} is in no input`);
  return create(RunbookSchema, { name, description, parameters, steps });
}

function refuseTwice(these: readonly { readonly name: string }[], field: string): void {
  const seen = new Set<string>();
  for (const [i, { name }] of these.entries()) {
    if (seen.has(name)) throw invalid(`${field}[${i}].name`, `is there twice: ${name}`);
    seen.add(name);
  }
}

function checkParameter(parameter: RunbookParameter, field: string): void {
  const { name, type, description, defaultValue, choices } = parameter;
  if (!/^[a-z][a-z0-9_]{0,39}$/.test(name)) throw invalid(`${field}.name`, "must be lower case letters, digits and _, at most 40");
  if (!isType(type)) throw invalid(`${field}.type`, `must be one of ${types.join(", ")}`);
  parseText(description, `${field}.description`);
  if ((type === "choice") !== choices.length > 0) throw invalid(`${field}.choices`, "belong to a choice, which has some");
  if (choices.length > 50) throw invalid(`${field}.choices`, "are more than 50");
  for (const [i, choice] of choices.entries())
    if (!/^[a-z0-9][a-z0-9_-]{0,39}$/.test(choice)) throw invalid(`${field}.choices[${i}]`, "must be lower case letters, digits, - and _");
  if (defaultValue !== undefined && defaultValue !== "") checkValue(specOf(parameter), defaultValue, `${field}.default_value`);
}

const isType = (text: string): text is ValueType => (types as readonly string[]).includes(text);

/** A parameter as what it must fit. */
const specOf = ({ name, type, description, choices }: RunbookParameter): InputSpec => ({
  name,
  type: isType(type) ? type : "text",
  description,
  choices,
});

function checkStep(step: RunbookStep, parameters: readonly RunbookParameter[], field: string): void {
  parseLabel(step.name, `${field}.name`);
  const act = findAct(step.act);
  if (act === undefined)
    throw fault("INVALID_ARGUMENT", `${field}.act: there is no act ${JSON.stringify(step.act.slice(0, 40))}`, {
      field: `${field}.act`,
      hint: "`aether runbook acts` lists what a step can do.",
    });
  if (!(step.onFailure in StepFailure)) throw invalid(`${field}.on_failure`, "must be STOP, CONTINUE or UNDO");
  if (step.timeoutSeconds > longestSeconds) throw invalid(`${field}.timeout_seconds`, `must be at most ${longestSeconds}`);
  for (const name of Object.keys(step.inputs))
    if (!act.inputs.some((spec) => spec.name === name))
      throw invalid(
        `${field}.inputs.${name}`,
        `is no input of ${act.name}: it has ${act.inputs.map((spec) => spec.name).join(", ") || "none"}`,
      );
  for (const spec of act.inputs) {
    const value = step.inputs[spec.name];
    if (value !== undefined && value !== "") checkInput(spec, value, parameters, `${field}.inputs.${spec.name}`);
    else if (spec.defaultValue === undefined) throw invalid(`${field}.inputs.${spec.name}`, `is missing: ${spec.description}`);
  }
  // What is chosen at the start can only be looked at then.
  const isChosenLater = act.inputs.some(({ name, type }) => type === "choice" && namesIn(step.inputs[name] ?? "").length > 0);
  if (!isChosenLater) checkTogether(act, withDefaults(act, step.inputs), field);
}

/** In the step's field. */
function checkTogether(act: Act, inputs: Inputs, field: string): void {
  try {
    act.check?.(inputs);
  } catch (caught) {
    if (!(caught instanceof Error && "field" in caught && typeof caught.field === "string")) throw caught;
    throw fault("INVALID_ARGUMENT", caught.message, { field: `${field}.inputs.${caught.field}` });
  }
}

const placeholder = /\$([a-zA-Z_][a-zA-Z0-9_]*)/g;
const namesIn = (value: string): string[] => [...value.matchAll(placeholder)].map(([, name = ""]) => name);

function checkInput(spec: InputSpec, value: string, parameters: readonly RunbookParameter[], field: string): void {
  const names = namesIn(value);
  if (names.length === 0) {
    checkValue(spec, value, field);
    return;
  }
  const meant = names.map((name) => {
    const parameter = parameters.find((each) => each.name === name);
    if (parameter === undefined) throw invalid(field, `names $${name.slice(0, 40)}, which is no parameter`);
    return parameter;
  });
  if (spec.type === "text") {
    parseText(value, field);
    return;
  }
  const [parameter] = meant;
  if (parameter === undefined || value !== `$${parameter.name}`) throw invalid(field, "must be one value, or one $PARAMETER alone");
  if (parameter.type !== spec.type) throw invalid(field, `is a ${spec.type}; the parameter ${parameter.name} is a ${parameter.type}`);
  const others = parameter.choices.filter((choice) => spec.choices !== undefined && !spec.choices.includes(choice));
  if (others.length > 0) throw invalid(field, `cannot be ${others.join(", ")}, which the parameter ${parameter.name} allows`);
}

/** A value that is no placeholder. */
function checkValue(spec: InputSpec, value: string, field: string): void {
  switch (spec.type) {
    case "node":
    case "workload":
      parseLabel(value, field);
      return;
    case "number": {
      const { min = 0, max = 999_999_999 } = spec;
      if (!/^\d{1,9}$/.test(value) || Number(value) < min || Number(value) > max)
        throw invalid(field, `must be a whole number from ${min} to ${max}`);
      return;
    }
    case "choice":
      if (!spec.choices?.includes(value)) throw invalid(field, `must be one of ${spec.choices?.join(", ")}`);
      return;
    case "text":
      parseText(value, field);
  }
}

function parseText(text: string, field: string, most = mostText): string {
  if (text.length > most) throw invalid(field, `is longer than ${most} characters`);
  return text;
}

const withDefaults = (act: Act, inputs: Readonly<Record<string, string>>): Inputs =>
  Object.fromEntries(act.inputs.map(({ name, defaultValue = "" }) => [name, inputs[name] || defaultValue]));

export interface FilledStep {
  readonly name: string;
  readonly act: Act;
  readonly inputs: Inputs;
  readonly onFailure: StepFailure;
  readonly timeoutSeconds: number;
}

/** A run of it, with these parameters. Throws INVALID_ARGUMENT that names the parameter, or the input that it does not fit. */
export function fillIn(
  { parameters, steps }: Pick<Runbook, "parameters" | "steps">,
  given: Readonly<Record<string, string>>,
): { readonly parameters: Readonly<Record<string, string>>; readonly steps: readonly FilledStep[] } {
  for (const name of Object.keys(given))
    if (!parameters.some((parameter) => parameter.name === name))
      throw invalid(
        `parameters.${name.slice(0, 40)}`,
        `is no parameter: it has ${parameters.map((each) => each.name).join(", ") || "none"}`,
      );
  const values = new Map<string, string>();
  for (const parameter of parameters) {
    const field = `parameters.${parameter.name}`;
    const value = Object.hasOwn(given, parameter.name) ? given[parameter.name] : parameter.defaultValue;
    if (value === undefined || (value === "" && parameter.defaultValue !== ""))
      throw invalid(field, `is missing: ${parameter.description || `a ${parameter.type}`}`);
    if (value !== "") checkValue(specOf(parameter), value, field);
    values.set(parameter.name, value);
  }
  const filled = steps.map((step, i): FilledStep => {
    const act = findAct(step.act);
    if (act === undefined) throw invalid(`steps[${i}].act`, `is not known to this version: ${step.act}`);
    const raw = Object.fromEntries(
      Object.entries(step.inputs).map(([name, value]) => [
        name,
        value.replaceAll(placeholder, (_, each: string) => values.get(each) ?? ""),
      ]),
    );
    const inputs = withDefaults(act, raw);
    const field = `steps[${i}]`;
    for (const spec of act.inputs) {
      const value = inputs[spec.name] ?? "";
      if (value === "" && spec.defaultValue === undefined) throw invalid(`${field}.inputs.${spec.name}`, `is missing: ${spec.description}`);
      if (spec.type === "text") parseText(value, `${field}.inputs.${spec.name}`, 2 * mostText);
      else if (value !== "") checkValue(spec, value, `${field}.inputs.${spec.name}`);
    }
    checkTogether(act, inputs, field);
    const onFailure = step.onFailure === StepFailure.UNSPECIFIED ? StepFailure.STOP : step.onFailure;
    return { name: step.name, act, inputs, onFailure, timeoutSeconds: step.timeoutSeconds || act.timeoutSeconds(inputs) };
  });
  return { parameters: Object.fromEntries(values), steps: filled };
}

/** What it takes to start it: the most that a step demands, and never less than what a run itself does. */
export const roleFor = (steps: readonly { readonly act: Pick<Act, "methods"> }[]): Role =>
  steps.flatMap(({ act }) => act.methods.map(roleOf)).reduce((most, role) => Math.max(most, role), Role.OPERATOR);
