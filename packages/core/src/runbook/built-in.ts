// Runbooks that come with the control plane. They are read as any other: what they can do, one of your own can.
import { type Runbook, RunbookSchema, StepFailure } from "@aether/contract/gen/aether/v2/runbook_pb";
import { create, type MessageInitShape } from "@bufbuild/protobuf";

const { CONTINUE, UNDO } = StepFailure;
const node = (description: string) => ({ name: "node", type: "node", description });

const books: readonly MessageInitShape<typeof RunbookSchema>[] = [
  {
    name: "retire-node",
    version: 1,
    description:
      "Before a node is taken away: every workload of it must be able to leave, is kept once more, leaves, and the node is verified to be empty. A failure gives the node back as it was.",
    parameters: [node("the node that goes")],
    steps: [
      { name: "certificates", act: "check", inputs: { condition: "certificates", node: "$node", at_least: "amber", wait_seconds: "60" } },
      { name: "cordon", act: "cordon", inputs: { node: "$node", reason: "retire-node" } },
      { name: "snapshots", act: "snapshot", inputs: { node: "$node" }, onFailure: CONTINUE },
      { name: "drain", act: "drain", inputs: { node: "$node" }, onFailure: UNDO },
      { name: "empty", act: "check", inputs: { condition: "node-empty", node: "$node", wait_seconds: "30" }, onFailure: UNDO },
      { name: "tell", act: "notify", inputs: { message: "$node is empty and cordoned: it may be taken away" } },
    ],
  },
  {
    name: "return-node",
    version: 1,
    description: "A node that was cordoned takes workloads again, once it can do everything that it must.",
    parameters: [node("the node that is back")],
    steps: [
      { name: "ready", act: "check", inputs: { condition: "node-ready", node: "$node", wait_seconds: "120" } },
      { name: "uncordon", act: "uncordon", inputs: { node: "$node" } },
    ],
  },
  {
    name: "rehearse",
    version: 1,
    description:
      "The Friday rehearsal: with green certificates an interruption is announced, and everything must be safe in time and healthy afterwards.",
    parameters: [
      node("the node that is interrupted"),
      { name: "window_seconds", type: "number", description: "from the notice to the reclaim", defaultValue: "120" },
    ],
    steps: [
      { name: "ready", act: "check", inputs: { condition: "node-ready", node: "$node" } },
      { name: "allowed", act: "check", inputs: { condition: "moves-allowed" } },
      { name: "certificates", act: "check", inputs: { condition: "certificates", node: "$node", wait_seconds: "60" } },
      { name: "drill", act: "drill", inputs: { node: "$node", kind: "notice", window_seconds: "$window_seconds" } },
      { name: "healthy", act: "check", inputs: { condition: "workloads-healthy", wait_seconds: "30" } },
    ],
  },
  {
    name: "maintenance",
    version: 1,
    description:
      "Around work on what all nodes share: nothing is under way, nothing moves by itself, everything is kept; a person says when it is over, and moves may begin again.",
    parameters: [{ name: "reason", type: "text", description: "what is worked on", defaultValue: "maintenance" }],
    steps: [
      { name: "quiet", act: "check", inputs: { condition: "no-moves", wait_seconds: "300" } },
      { name: "pause", act: "pause-moves", inputs: { reason: "$reason" } },
      { name: "snapshots", act: "snapshot", onFailure: UNDO },
      { name: "over", act: "confirm", inputs: { message: "Is it over ($reason)? Moves begin again." }, timeoutSeconds: 7 * 86_400 },
      { name: "resume", act: "resume-moves" },
    ],
  },
  {
    name: "node-lost",
    version: 1,
    description:
      "A node is not heard any more. Only a person can know that it is dead and not cut off: with that word its workloads come back elsewhere, as their policies say.",
    parameters: [node("the node that is not heard")],
    steps: [
      { name: "silent", act: "check", inputs: { condition: "node-silent", node: "$node", wait_seconds: "60" } },
      {
        name: "dead",
        act: "confirm",
        inputs: {
          message:
            "Have you seen that $node is gone for good (terminated in the cloud's console, or without power)? If it still runs, its workloads would run twice.",
        },
        timeoutSeconds: 3_600,
      },
      { name: "declare", act: "declare-dead", inputs: { node: "$node", reason: "runbook node-lost" } },
      { name: "back", act: "check", inputs: { condition: "node-empty", node: "$node", wait_seconds: "600" } },
      { name: "healthy", act: "check", inputs: { condition: "workloads-healthy", wait_seconds: "120" } },
    ],
  },
];

/** By name. */
export const builtIn: readonly Runbook[] = books
  .map((book) => create(RunbookSchema, { ...book, isBuiltIn: true }))
  .sort((a, b) => (a.name < b.name ? -1 : 1));
