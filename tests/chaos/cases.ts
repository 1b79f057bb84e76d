// The crash matrix: who fails (core, the source's agent, the target's agent, either one's link), at which step or fault point, and how.
// A case may need a first fault to get there: a rollback has to be provoked before it can be disturbed.

export type Victim = "core" | "source" | "target" | "source's link" | "target's link";

export interface Fault {
  readonly victim: Victim;
  /** A fault point of the shipped code; for a link: the state of the move at which it is cut. */
  readonly point: string;
  readonly how: "kill" | "error" | "cut";
}

export interface Case {
  readonly name: string;
  readonly faults: readonly Fault[];
}

const core = ["preparing", "copying", "freezing", "committed", "resumed", "done"].flatMap((state) =>
  ["before_write", "before_send", "after_send"].map((when) => `core.${state}.${when}`),
);
const source = [
  "command.begun",
  "command.done",
  "command.kept",
  "copy.half",
  "freeze.after_last_pass",
  "freeze.ready",
  "freeze.after_cut",
  "freeze.after_freeze",
  "freeze.after_dump",
  "freeze.before_disarm",
  "freeze.after_disarm",
  "transfer.half",
  "release.before",
];
const target = [
  "command.begun",
  "command.done",
  "command.kept",
  "prepare.after_namespace",
  "restore.ready",
  "restore.before",
  "restore.after",
  "resume.before_continue",
  "resume.after_continue",
];
const cuts = ["preparing", "copying", "freezing", "committed", "resumed"];

const kill = (victim: Victim, point: string): Case => ({
  name: `${victim} is killed at ${point}`,
  faults: [{ victim, point, how: "kill" }],
});
const cut = (victim: Victim, state: string): Case => ({
  name: `the ${victim} is cut while ${state}`,
  faults: [{ victim, point: state, how: "cut" }],
});
const then = (first: Fault, second: Fault): Case => ({
  name: `${first.victim} ${first.how === "kill" ? "is killed" : "fails"} at ${first.point}, and ${second.victim} is killed at ${second.point}`,
  faults: [first, second],
});
const failedFreeze: Fault = { victim: "source", point: "freeze.after_dump", how: "error" };
const failedRestore: Fault = { victim: "target", point: "restore.before", how: "error" };
const killed = (victim: Victim, point: string): Fault => ({ victim, point, how: "kill" });

/** Two who fail in one move: one on the way there, and another one while it is put right or goes on. */
const pairs = [
  killed("source", "freeze.after_freeze"),
  killed("source", "freeze.before_disarm"),
  killed("source", "freeze.after_disarm"),
  killed("target", "restore.ready"),
  killed("target", "restore.after"),
  killed("core", "core.freezing.after_send"),
].flatMap((first) =>
  [
    killed("core", "core.rolling_back.after_send"),
    killed("core", "core.committed.before_send"),
    killed("source", "thaw.before"),
    killed("target", "abort.half"),
    killed("target", "resume.before_continue"),
  ]
    .filter((second) => second.victim !== first.victim)
    .map((second) => then(first, second)),
);

export const allCases: readonly Case[] = [
  ...core.map((point) => kill("core", point)),
  ...source.map((point) => kill("source", point)),
  ...target.map((point) => kill("target", point)),
  ...cuts.map((state) => cut("target's link", state)),
  ...[
    "core.rolling_back.before_write",
    "core.rolling_back.before_send",
    "core.rolling_back.after_send",
    "core.rolled_back.before_write",
  ].map((point) => then(failedFreeze, killed("core", point))),
  then(failedRestore, killed("target", "abort.half")),
  then(failedRestore, killed("source", "thaw.before")),
  then(killed("source", "freeze.after_freeze"), killed("core", "core.rolling_back.before_send")),
  then(killed("target", "restore.after"), killed("source", "thaw.before")),
  then(killed("core", "core.committed.after_send"), killed("target", "resume.after_continue")),
  ...pairs,
  ...cuts.map((state) => cut("source's link", state)),
];

/** Always tried: where a move changes hands. The rest of a subset is drawn by seed. */
const always = new Set([
  "source is killed at freeze.after_dump",
  "target is killed at restore.after",
  "core is killed at core.committed.before_send",
  "target is killed at resume.after_continue",
]);

/** @param count undefined: all, in the order of the seed. */
export function chooseCases(seed: number, count: number | undefined): Case[] {
  const random = mulberry32(seed);
  const shuffled = allCases
    .map((each) => ({ each, at: always.has(each.name) && count !== undefined ? -1 : random() }))
    .sort((a, b) => a.at - b.at);
  return shuffled.slice(0, count ?? shuffled.length).map(({ each }) => each);
}

/** A small generator with a seed (Tommy Ettinger's mulberry32, public domain). */
function mulberry32(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
