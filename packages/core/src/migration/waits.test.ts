import { CommandResultSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { type MigrationPhase, MigrationPhaseSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, it } from "vitest";
import type { CommandFact, StepName } from "./state.ts";
import { waitPhases } from "./waits.ts";

const phase = (name: string, atMs: number, durationMs: number) =>
  create(MigrationPhaseSchema, { name, startedAt: timestampFromMs(atMs), durationMs });
const command = (step: StepName, sentMs: number, heardMs: number, phases: MigrationPhase[]): CommandFact => ({
  id: `cmd-${step}`,
  step,
  intendedAtMs: sentMs,
  outcome: "ok",
  finishedAtMs: heardMs,
  result: create(CommandResultSchema, { phases }),
});
const nodeOf = ({ step }: CommandFact) => (step === "freeze" || step === "copy" ? "n1" : "n2");

it("names what a freeze waits for between the phases of its hosts: the last answer, and the order to resume", () => {
  const commands = [
    command("prepare", 900, 950, [phase("prepare.target", 900, 50)]),
    command("copy", 950, 1000, [phase("copy.files", 950, 50)]),
    command("freeze", 1000, 1060, [phase("freeze.dump", 1000, 20), phase("freeze.report", 1030, 20)]),
    command("restore", 1000, 1190, [phase("restore.criu", 1050, 30), phase("restore.verify", 1080, 5)]),
    command("resume", 1195, 1300, [phase("resume.continue", 1233, 1), phase("resume.lead", 1230, 2)]),
  ];
  const commit = phase("commit", 1190, 7);
  const waits = waitPhases(commands, nodeOf, [commit]);
  expect(
    waits.map(({ name, nodeId, durationMs, facts }) => ({ name, nodeId, durationMs: Math.round(durationMs), step: facts.step })),
  ).toEqual([
    { name: "commit.answer", nodeId: "n2", durationMs: 105, step: "restore" },
    { name: "resume.order", nodeId: "n2", durationMs: 33, step: "resume" },
  ]);
  expect(waitPhases(commands.slice(0, 4), nodeOf, [commit]).map(({ name }) => name)).toEqual(["commit.answer"]);
  expect(waitPhases(commands, nodeOf, [])).toEqual([]); // nothing was committed
});
