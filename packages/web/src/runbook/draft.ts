// A runbook while it is written, as text. Pure.
import { Fault, fault } from "@aether/contract";
import { type Runbook, RunbookSchema } from "@aether/contract/gen/aether/v2/runbook_pb";
import { placeOf, writeRunbook } from "@aether/contract/runbook-file";
import { create } from "@bufbuild/protobuf";
import { problemOf } from "../api/problem.ts";

/** One that is whole, to be changed into one's own. */
const example = `name: my-runbook
description: When to run it, and what it does.
parameters:
  - name: node
    type: node # node | workload | number | text | choice
    description: the node that it is about
steps:
  - name: ready
    act: check
    inputs:
      condition: node-ready
      node: $node
  - name: tell
    act: notify
    inputs:
      message: $node is ready
    on_failure: stop # stop | continue | undo
`;

/** @param from one to begin from, under another name */
export const textOf = (base: Runbook | undefined, from?: Runbook): string => {
  if (base !== undefined) return writeRunbook(base);
  return from === undefined ? example : writeRunbook({ ...from, name: `my-${from.name}` });
};

export interface Refused {
  readonly message: string;
  readonly hint: string;
  /** Where it is written, from 1; undefined: nowhere in particular. */
  readonly line: number | undefined;
  readonly from: number;
  readonly to: number;
}

/** What is wrong, and where in the text that is. */
export function refusalOf(text: string, caught: unknown): Refused {
  const { message, hint, field = "" } = problemOf(caught instanceof Fault ? caught.toConnectError() : caught);
  const { line, from = 0, to = 0 } = placeOf(text, field) ?? {};
  return { message, hint, line, from, to };
}

/** Their version with what was changed here, part by part: where both changed the same part, what was written here counts. */
export function ontoTheirs(began: Runbook, mine: Runbook, theirs: Runbook): Runbook {
  const parts = ["description", "parameters", "steps"] as const;
  const only = (runbook: Runbook, part: (typeof parts)[number]) =>
    writeRunbook(create(RunbookSchema, { name: "x", [part]: runbook[part] }));
  const changed = parts.filter((part) => only(began, part) !== only(mine, part));
  return create(RunbookSchema, { ...theirs, ...Object.fromEntries(changed.map((part) => [part, mine[part]])) });
}

/** @param changed the name of the one that is changed; undefined: a new one. Throws INVALID_ARGUMENT. */
export function refuseName(name: string, changed: string | undefined, taken: readonly string[]): void {
  if (changed !== undefined && name !== changed)
    throw fault("INVALID_ARGUMENT", `${changed} is changed here, and another name is another runbook`, {
      field: "name",
      hint: `Begin that one by a copy of ${changed}.`,
    });
  if (changed === undefined && taken.includes(name))
    throw fault("INVALID_ARGUMENT", `there is a runbook ${name} already`, {
      field: "name",
      hint: "Change that one, or take another name.",
    });
}
