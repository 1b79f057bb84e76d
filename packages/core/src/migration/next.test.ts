import { CommandResultSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { next } from "./next.ts";
import { type CommandFact, type Facts, isEnded, type MigrationRecord, type Side, type StepName } from "./state.ts";
import { steps } from "./steps/index.ts";
import { intendedAt, transition } from "./transition.ts";

const startMs = 1_000_000;

const record = (over: Partial<MigrationRecord> = {}): MigrationRecord => ({
  id: "mig-1",
  workload: "db",
  sourceNodeId: "n1",
  targetNodeId: "n2",
  state: "planned",
  requestedMode: "auto",
  mode: "auto",
  epochBefore: 1,
  priority: 0,
  order: 0,
  cause: "operator",
  drillId: undefined,
  traceId: "",
  fence: 1,
  isCancelRequested: false,
  createdAtMs: startMs,
  stateAtMs: startMs,
  deadlineAtMs: undefined,
  committedAtMs: undefined,
  resumedAtMs: undefined,
  endedAtMs: undefined,
  error: undefined,
  debts: [],
  ...over,
});

const manifest = {
  images: [{ name: "core-1.img", bytes: 10n, sha256: "aa" }],
  memoryBytes: 4096n,
  pageCount: 1n,
  filesDigest: "ff",
  processCount: 1,
};

type Result = MessageInitShape<typeof CommandResultSchema>;

function okFacts(step: StepName, mode: MigrationMode, isEqual = true, health = HealthState.PASSING): Result["facts"] {
  if (step === "preflight") return { case: "preflight", value: { chosenMode: mode } };
  if (step === "prepare") return { case: "prepare", value: { linkAddress: "10.0.0.2", linkPort: 4000 } };
  if (step === "freeze") return { case: "freeze", value: { manifest } };
  if (step === "restore")
    return { case: "restore", value: { manifest: isEqual ? manifest : { ...manifest, filesDigest: "00" }, areImagesEqual: true } };
  if (step === "resume") return { case: "resume", value: { health } };
  return undefined;
}

/** Two nodes and a network that may do anything but lie; and the control plane around `next`, which may die between any two lines. */
class World {
  record: MigrationRecord;
  commands: CommandFact[] = [];
  nowMs = startMs;
  source: "running" | "frozen" | "released" = "running";
  target: "nothing" | "prepared" | "restored" | "running" = "nothing";
  /** What the target's restore found, whatever it answered. */
  arrived: "nothing" | "equal" | "unequal" = "nothing";
  commits = 0;
  healthyResumes = 0;
  isDrained = false;
  stepsAfterEnd = 0;
  connected = { source: true, target: true };
  awaySinceMs = { source: startMs, target: startMs };
  isTargetInterrupted = false;
  /** Sent over the present session, not yet carried out. */
  inFlight: { side: Side; id: string; step: StepName; fence: number }[] = [];
  /** What each agent has kept: outcome by command id. */
  kept = new Map<string, { side: Side; result: Result }>();
  highestFence = { source: 0, target: 0 };
  mode: MigrationMode;
  ids = 0;

  constructor(mode: MigrationMode, deadlineAtMs: number | undefined) {
    this.mode = mode;
    this.record = record({ deadlineAtMs });
  }

  facts(): Facts {
    return {
      commands: this.commands,
      isItsTurn: true,
      isPlaced: true,
      source: { isConnected: this.connected.source, awaySinceMs: this.awaySinceMs.source, isInterrupted: true },
      target: { isConnected: this.connected.target, awaySinceMs: this.awaySinceMs.target, isInterrupted: this.isTargetInterrupted },
    };
  }

  /** Runs `next` until it waits. `dieAfter`: the control plane dies after that many transactions, before sending what they intend. */
  turn(dieAfter = Number.POSITIVE_INFINITY): void {
    for (let i = 0; i < 50; i++) {
      const wasEnded = isEnded(this.record.state);
      const step = next(this.record, this.facts(), this.nowMs);
      if (step.kind === "wait") {
        expect(step.untilMs).toBeGreaterThan(this.nowMs);
        return;
      }
      if (step.kind === "ended") return;
      if (wasEnded) this.stepsAfterEnd++;
      if (step.kind === "commit") {
        this.commits++;
        expect(this.isVerifiable(), "commits what was not verified").toBe(true);
      }
      const made = transition(this.record, step, this.nowMs, () => `cmd-${++this.ids}`);
      this.record = made.record;
      this.commands.push(...intendedAt(made.intents, this.nowMs));
      if (i + 1 > dieAfter) {
        this.coreRestarts();
        return;
      }
      for (const intent of made.intents) this.send(intent.id, intent.step);
    }
    throw new Error(`no rest: ${this.record.state}`);
  }

  /** What must be so at a commit: all has left a source that stands still, and what the target holds, stopped, is the same. */
  isVerifiable(): boolean {
    return this.source === "frozen" && this.target === "restored" && this.arrived === "equal";
  }

  send(id: string, step: StepName): void {
    const { side } = steps[step];
    if (this.connected[side]) this.inFlight.push({ side, id, step, fence: this.record.fence });
  }

  coreRestarts(): void {
    this.inFlight = [];
    this.record = { ...this.record, fence: this.record.fence + 1 };
    this.resendOpen("source");
    this.resendOpen("target");
  }

  /** As the sessions do: ask first, send again only what the agent never saw. */
  resendOpen(side: Side): void {
    for (const command of this.commands) {
      if (command.outcome !== undefined || steps[command.step].side !== side || isEnded(this.record.state)) continue;
      if (!this.kept.has(command.id) && !this.inFlight.some((each) => each.id === command.id)) this.send(command.id, command.step);
    }
  }

  disconnect(side: Side): void {
    if (this.connected[side]) this.awaySinceMs[side] = this.nowMs;
    this.connected[side] = false;
    this.inFlight = this.inFlight.filter((each) => each.side !== side);
  }

  reconnect(side: Side): void {
    this.connected[side] = true;
    this.resendOpen(side);
  }

  /** The agent carries out the oldest command it has; `fate`: how well. */
  carryOut(side: Side, fate: Fate): void {
    const command = this.inFlight.find((each) => each.side === side);
    if (command === undefined) return;
    this.inFlight = this.inFlight.filter((each) => each !== command);
    if (command.fence < this.highestFence[side]) {
      this.keep(command, { outcome: 3, error: { code: "STALE_FENCE", message: "old" } });
      return;
    }
    this.highestFence[side] = command.fence;
    // A failure may come after the effect: only a freeze promises to run again when it fails, and only a crash breaks that promise.
    const isDone = fate === "ok" || fate === "unequal" || fate === "unhealthy" || fate === "late-failure" || fate === "late-crash";
    if (isDone && !(fate === "late-failure" && command.step === "freeze")) this.effect(command.step);
    if (isDone && command.step === "restore") this.arrived = fate === "unequal" ? "unequal" : "equal";
    const outcome = fate === "early-crash" || fate === "late-crash" ? 5 : fate === "failure" || fate === "late-failure" ? 2 : 1;
    if (outcome !== 1) {
      this.keep(command, { outcome, error: { code: "TOOL_FAILED", message: fate } });
      return;
    }
    if (command.step === "resume" && fate !== "unhealthy") this.healthyResumes++;
    if (command.step === "drain_pages") this.isDrained = true;
    const facts = okFacts(command.step, this.mode, fate !== "unequal", fate === "unhealthy" ? HealthState.FAILING : HealthState.PASSING);
    this.keep(command, facts === undefined ? { outcome } : { outcome, facts });
  }

  keep(command: { side: Side; id: string }, result: Result): void {
    this.kept.set(command.id, { side: command.side, result });
  }

  effect(step: StepName): void {
    if (step === "prepare" && this.target === "nothing") this.target = "prepared";
    if (step === "restore" && this.target === "prepared") this.target = "restored";
    if (step === "freeze" && this.source === "running") this.source = "frozen";
    if (step === "resume") this.target = "running";
    if (step === "abort") {
      expect(this.target).not.toBe("running");
      this.target = "nothing";
    }
    if (step === "thaw" && this.source === "frozen") this.source = "running";
    if (step === "release") {
      expect(this.healthyResumes).toBeGreaterThan(0);
      if (this.mode === MigrationMode.POST_COPY) expect(this.isDrained).toBe(true);
      this.source = "released";
    }
  }

  /** Kept results of this side become known. */
  report(side: Side): void {
    if (!this.connected[side]) return;
    this.commands = this.commands.map((command) => {
      const kept = this.kept.get(command.id);
      if (command.outcome !== undefined || kept?.side !== side) return command;
      const result = create(CommandResultSchema, { commandId: command.id, ...kept.result });
      const outcome = ({ 1: "ok", 2: "failed", 3: "refused", 5: "interrupted" } as const)[Number(result.outcome)] ?? "failed";
      return { ...command, outcome, finishedAtMs: this.nowMs, result };
    });
  }

  check(): void {
    expect(this.source === "running" && this.target === "running", "two run").toBe(false);
    if (this.target === "running") expect(this.commits, "runs without a commit").toBe(1);
    expect(this.commits).toBeLessThanOrEqual(1);
    expect(this.stepsAfterEnd).toBe(0);
    if (this.record.state === "done") expect(this.target).toBe("running");
    if (this.record.state === "rolled_back") {
      expect(this.commits).toBe(0);
      if (!this.record.debts.includes("thaw")) expect(this.source).toBe("running");
    }
  }
}

// "unequal" and "unhealthy" are "ok" but for RESTORE and RESUME, so they may come often.
const fates = [
  "ok",
  "unequal",
  "unequal",
  "unequal",
  "unhealthy",
  "unhealthy",
  "failure",
  "late-failure",
  "early-crash",
  "late-crash",
] as const;
type Fate = (typeof fates)[number];
const side = fc.constantFrom<Side>("source", "target");
const event = fc.oneof(
  { weight: 10, arbitrary: fc.record({ do: fc.constant("carryOut" as const), side, fate: fc.constantFrom(...fates) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("report" as const), side }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("disconnect" as const), side }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("reconnect" as const), side }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("coreRestarts" as const), after: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("time" as const), ms: fc.constantFrom(10, 300, 3_000, 30_000, 120_000, 600_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("interruptTarget" as const) }) },
);

/** Answers, one by one, all good: chaos is wanted in every state, and by chance alone it seldom gets beyond the first ones. */
function playWell(world: World, answers: number): void {
  world.turn();
  for (let i = 0; i < answers; i++) {
    const first = world.inFlight[0];
    if (first === undefined) return;
    world.carryOut(first.side, "ok");
    world.report(first.side);
    world.turn();
    world.check();
  }
}

function play(world: World, events: readonly (typeof event extends fc.Arbitrary<infer T> ? T : never)[]): void {
  for (const each of events) {
    if (each.do === "carryOut") world.carryOut(each.side, each.fate);
    if (each.do === "report") world.report(each.side);
    if (each.do === "disconnect") world.disconnect(each.side);
    if (each.do === "reconnect") world.reconnect(each.side);
    if (each.do === "time") world.nowMs += each.ms;
    if (each.do === "cancel" && world.record.committedAtMs === undefined && !isEnded(world.record.state)) {
      world.record = { ...world.record, isCancelRequested: true };
    }
    if (each.do === "interruptTarget") world.isTargetInterrupted = true;
    if (each.do === "coreRestarts") {
      world.turn(each.after);
      world.coreRestarts();
    }
    world.check();
    world.turn();
    world.check();
  }
}

const modes = fc.constantFrom(MigrationMode.STOP_AND_COPY, MigrationMode.POST_COPY, MigrationMode.PRE_COPY);

describe("next", () => {
  it("never lets two run, commits once, and ends, whatever happens in whatever order", () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        modes,
        fc.option(fc.integer({ min: 1_000, max: 300_000 }), { nil: undefined }),
        fc.nat(7),
        fc.array(event, { maxLength: 40 }),
        fc.constantFrom("both", "source", "target", "neither"),
        (mode, deadlineMs, goodAnswers, events, survivors) => {
          const world = new World(mode, deadlineMs === undefined ? undefined : startMs + deadlineMs);
          playWell(world, goodAnswers);
          play(world, events);
          // Afterwards whoever survives answers, and time passes: it must come to an end.
          for (const each of ["source", "target"] as const) {
            if (survivors === "both" || survivors === each) world.reconnect(each);
            else world.disconnect(each);
          }
          for (let i = 0; i < 400 && !isEnded(world.record.state); i++) {
            for (const each of ["source", "target"] as const) {
              world.carryOut(each, "ok");
              world.report(each);
            }
            world.check();
            world.turn();
            world.nowMs += 10_000;
            world.turn();
            world.check();
          }
          expect(isEnded(world.record.state), `stuck in ${world.record.state}`).toBe(true);
          if (survivors === "both" && world.record.state === "rolled_back") expect(world.source).toBe("running");
          seen.add(world.record.state);
        },
      ),
      { numRuns: 1_000 },
    );
    expect(seen).toEqual(new Set(["done", "rolled_back", "needs_operator"]));
  }, 30_000);

  it("goes the whole way when all answers are good", () => {
    const world = new World(MigrationMode.STOP_AND_COPY, undefined);
    const states = [world.record.state];
    world.turn();
    for (let i = 0; i < 40 && !isEnded(world.record.state); i++) {
      for (const each of ["target", "source"] as const) {
        world.carryOut(each, "ok");
        world.report(each);
        world.turn();
        if (states.at(-1) !== world.record.state) states.push(world.record.state);
      }
    }
    expect(states).toEqual(["planned", "preparing", "copying", "freezing", "committed", "resumed", "done"]);
    expect(world.commands.map((command) => command.step)).toEqual([
      "preflight",
      "prepare",
      "copy",
      "restore",
      "freeze",
      "resume",
      "release",
    ]);
    expect([world.source, world.target]).toEqual(["released", "running"]);
  });

  const decided = (step: StepName, outcome: CommandFact["outcome"], over: Partial<CommandFact> = {}): CommandFact => ({
    id: step,
    step,
    intendedAtMs: startMs,
    ...(outcome === undefined ? {} : { outcome, finishedAtMs: startMs + 1 }),
    ...over,
  });
  const there = { isConnected: true, awaySinceMs: startMs, isInterrupted: false };
  const both = (...commands: CommandFact[]): Facts => ({ commands, source: there, target: there, isItsTurn: true, isPlaced: true });

  it("rolls back at once, with nothing to undo, when the preflight finds a blocker", () => {
    const result = create(CommandResultSchema, {
      outcome: 1,
      facts: {
        case: "preflight",
        value: { blockers: [{ code: "IO_URING_IN_USE", message: "pid 7 uses io_uring", mend: "Switch it off." }] },
      },
    });
    const step = next(record({ state: "preparing" }), both(decided("preflight", "ok", { result })), startMs + 5);
    expect(step).toMatchObject({ kind: "move", to: "rolled_back", error: { code: "PREFLIGHT_REFUSED", hint: "Switch it off." } });
  });

  it("stays planned until it is its turn, and no longer than its deadline", () => {
    const facts = { ...both(), isItsTurn: false };
    expect(next(record({ deadlineAtMs: startMs + 9 }), facts, startMs)).toMatchObject({ kind: "wait", untilMs: startMs + 9 });
    expect(next(record({ deadlineAtMs: startMs + 9 }), facts, startMs + 9)).toMatchObject({
      to: "rolled_back",
      error: { code: "DEADLINE_EXCEEDED" },
    });
  });

  it("does not freeze for a target whose own interruption is announced", () => {
    const facts = { ...both(decided("prepare", "ok"), decided("copy", "ok")), target: { ...there, isInterrupted: true } };
    expect(next(record({ state: "copying" }), facts, startMs + 5)).toMatchObject({ to: "rolling_back", error: { code: "NO_TARGET" } });
  });

  it("names the side that broke, and not the one that heard the link end first, also when the reason comes later", () => {
    const failed = (step: StepName, code: string) =>
      decided(step, "failed", { result: create(CommandResultSchema, { outcome: 2, error: { code, message: "said so" } }) });
    const before = [decided("prepare", "ok"), decided("copy", "ok")];
    const [echo, reason] = [failed("restore", "TRANSFER_FAILED"), failed("freeze", "CHECKPOINT_FAILED")];
    const named = { error: { code: "CHECKPOINT_FAILED", message: "freeze on n1: said so" } };
    expect(next(record({ state: "freezing" }), both(...before, echo, reason), startMs + 5)).toMatchObject(named);
    const first = next(record({ state: "freezing" }), both(...before, decided("freeze", undefined), echo), startMs + 5);
    expect(first).toMatchObject({ to: "rolling_back", error: { code: "TRANSFER_FAILED" } });
    const rolling = record({ state: "rolling_back", error: { code: "TRANSFER_FAILED", message: "the link ended early" } });
    const over = both(...before, echo, reason, decided("abort", "ok"), decided("thaw", "ok"));
    expect(next(rolling, over, startMs + 10)).toMatchObject({ to: "rolled_back", ...named });
  });

  it("names the agent that went away in the freeze, and not the end of the link that the other one heard", () => {
    const echo = decided("restore", "failed", {
      result: create(CommandResultSchema, { outcome: 2, error: { code: "TRANSFER_FAILED", message: "the link ended early" } }),
    });
    const before = [decided("prepare", "ok"), decided("copy", "ok")];
    const pending = both(...before, decided("freeze", undefined), echo);
    const gone = {
      code: "NODE_NOT_CONNECTED",
      message: "the agent of n1 ended, or was out of reach, while db was being frozen there; db stays on n1",
    };
    const away = { ...pending, source: { ...there, isConnected: false, leftAtMs: startMs } };
    expect(next(record({ state: "freezing" }), away, startMs + 5)).toMatchObject({ to: "rolling_back", error: gone });
    // It was heard only after the echo, and is back by now.
    const rolling = record({ state: "rolling_back", error: { code: "TRANSFER_FAILED", message: "the link ended early" } });
    const undone = [decided("abort", "ok"), decided("thaw", "ok")];
    const back = { ...pending, commands: [...pending.commands, ...undone], source: { ...there, leftAtMs: startMs + 1 } };
    expect(next(rolling, back, startMs + 10)).toMatchObject({ to: "rolled_back", error: gone });
    // It went before the freeze: that is no reason.
    const earlier = { ...back, source: { ...there, leftAtMs: startMs - 1 } };
    expect(next(rolling, earlier, startMs + 10)).not.toHaveProperty("error");
    // Its next life says it itself.
    const said = decided("freeze", "interrupted", {
      result: create(CommandResultSchema, {
        outcome: 4,
        error: { code: "STEP_INTERRUPTED", message: "the agent of n1 restarted in the middle of freeze" },
      }),
    });
    expect(next(record({ state: "freezing" }), both(...before, said, echo), startMs + 5)).toMatchObject({
      error: { code: "STEP_INTERRUPTED", message: "freeze on n1: the agent of n1 restarted in the middle of freeze; db stays on n1" },
    });
  });

  it("thaws without the target's word when the target is away, and owes it the abort", () => {
    const facts = {
      ...both(decided("prepare", "ok"), decided("copy", "ok"), decided("freeze", "ok"), decided("abort", undefined)),
      target: { ...there, isConnected: false },
    };
    const rolling = record({ state: "rolling_back" });
    expect(next(rolling, facts, startMs)).toMatchObject({ kind: "move", send: ["thaw"] });
    const thawed = { ...facts, commands: [...facts.commands, decided("thaw", "ok")] };
    expect(next(rolling, thawed, startMs + 10)).toMatchObject({ to: "rolled_back", debts: ["abort"] });
  });

  it("keeps the target's copy when the source vanished in the freeze, and says where everything is", () => {
    const facts = {
      ...both(decided("prepare", "ok"), decided("copy", "ok"), decided("freeze", undefined), decided("restore", "ok")),
      source: { ...there, isConnected: false },
    };
    const freezing = record({ state: "freezing" });
    expect(next(freezing, facts, startMs + 130_000)).toMatchObject({ kind: "wait" });
    const step = next(freezing, facts, startMs + 600_000);
    expect(step).toMatchObject({ to: "needs_operator", error: { code: "SOURCE_LOST" } });
    if (step.kind === "move") expect(step.why).toContain("kept stopped on n2");
  });

  it("neither commits to a target that went away nor lets the client wait for it", () => {
    const manifests = (step: StepName) => create(CommandResultSchema, { outcome: 1, facts: okFacts(step, MigrationMode.STOP_AND_COPY)! });
    const all = [
      decided("prepare", "ok"),
      decided("copy", "ok"),
      decided("freeze", "ok", { result: manifests("freeze") }),
      decided("restore", "ok", { result: manifests("restore") }),
    ];
    const facts = { ...both(...all), target: { ...there, isConnected: false } };
    const restoring = record({ state: "restoring" });
    expect(next(restoring, both(...all), startMs + 1_000)).toMatchObject({ kind: "commit" });
    expect(next(restoring, facts, startMs + 1_000)).toMatchObject({ kind: "wait", untilMs: startMs + 2_000 });
    expect(next(restoring, facts, startMs + 2_000)).toMatchObject({ to: "rolling_back", error: { code: "NODE_NOT_CONNECTED" } });
  });

  it("does not let a client wait two minutes for an answer that is lost", () => {
    const facts = both(decided("prepare", "ok"), decided("copy", "ok"), decided("freeze", undefined), decided("restore", "ok"));
    const freezing = record({ state: "freezing" });
    expect(next(freezing, facts, startMs + 9_000)).toMatchObject({ kind: "wait", untilMs: startMs + 10_001 });
    expect(next(freezing, facts, startMs + 10_001)).toMatchObject({
      to: "rolling_back",
      send: ["abort"],
      error: { code: "DEADLINE_EXCEEDED" },
    });
  });

  it("asks a person, with both sides kept, when the health check fails after the resume", () => {
    const result = create(CommandResultSchema, {
      outcome: 1,
      facts: { case: "resume", value: { health: HealthState.FAILING, healthDetail: "connection refused" } },
    });
    const step = next(record({ state: "committed", committedAtMs: startMs }), both(decided("resume", "ok", { result })), startMs + 5);
    expect(step).toMatchObject({ to: "needs_operator", send: [], error: { code: "HEALTH_FAILED" } });
  });

  it("waits for a target that died after the commit, then says plainly where the frozen copy is", () => {
    const facts = { ...both(decided("resume", undefined)), target: { ...there, isConnected: false } };
    const committed = record({ state: "committed", committedAtMs: startMs });
    expect(next(committed, facts, startMs + 119_000)).toMatchObject({ kind: "wait", untilMs: startMs + 120_000 });
    const step = next(committed, facts, startMs + 120_000);
    expect(step).toMatchObject({ to: "needs_operator", error: { code: "RESUME_UNCONFIRMED" } });
    if (step.kind === "move") expect(step.error?.message).toContain("frozen copy is kept on n1");
  });

  it("drains the pages before it releases the source, in post-copy", () => {
    const result = create(CommandResultSchema, { outcome: 1, facts: okFacts("resume", MigrationMode.POST_COPY)! });
    const committed = record({ state: "committed", committedAtMs: startMs, mode: "post_copy" });
    expect(next(committed, both(decided("resume", "ok", { result })), startMs + 5)).toMatchObject({ to: "resumed", send: ["drain_pages"] });
    const lost = both(decided("resume", "ok", { result }), decided("drain_pages", "failed"));
    expect(next({ ...committed, state: "resumed" }, lost, startMs + 9)).toMatchObject({
      to: "needs_operator",
      error: { code: "PAGES_LOST" },
    });
  });

  it("ends well when the source is gone after the hand-over, and owes it the release", () => {
    const facts = { ...both(decided("resume", "ok"), decided("release", undefined)), source: { ...there, isConnected: false } };
    const step = next(record({ state: "resumed", committedAtMs: startMs }), facts, startMs + 10_000);
    expect(step).toMatchObject({ to: "done", debts: ["release"] });
  });
});
