// cordon, uncordon, declare-dead: what is said of a node.
import { fault } from "@aether/contract";
import { type Node, NodeService } from "@aether/contract/gen/aether/v2/node_pb";
import type { Act, InputSpec, Looking } from "./act.ts";

const nodeInput: InputSpec = { name: "node", type: "node", description: "which one" };

async function read({ ask }: Looking, id = ""): Promise<Node> {
  const { node } = await ask(NodeService.method.getNode, { id });
  if (node === undefined) throw fault("NODE_NOT_FOUND", `there is no node ${id}`, { field: "node" });
  return node;
}

export const cordon: Act = {
  name: "cordon",
  description: "The node takes no new workload; what runs there stays. Taken back only where it was not cordoned before.",
  inputs: [nodeInput, { name: "reason", type: "text", description: "for those who look at the node", defaultValue: "" }],
  methods: [NodeService.method.cordonNode],
  timeoutSeconds: () => 60,
  async preview(looking, { node }) {
    const { isCordoned } = await read(looking, node);
    return { would: isCordoned ? `nothing: ${node} is cordoned already` : `cordons ${node}` };
  },
  before: async (looking, { node }) => ({ wasCordoned: (await read(looking, node)).isCordoned }),
  async look(doing, { node = "", reason }, { wasCordoned }) {
    if (wasCordoned === true) return { is: "done", detail: `${node} was cordoned already` };
    if (!(await read(doing, node)).isCordoned) await doing.ask(NodeService.method.cordonNode, { id: node, reason: reason || doing.cause });
    return { is: "done", detail: `${node} takes no new workload` };
  },
  async undo(looking, { node = "" }, { wasCordoned }) {
    if (wasCordoned !== false) return undefined;
    if ((await read(looking, node)).isCordoned) await looking.ask(NodeService.method.uncordonNode, { id: node });
    return `${node} takes workloads again`;
  },
};

export const uncordon: Act = {
  name: "uncordon",
  description: "The node takes workloads again.",
  inputs: [nodeInput],
  methods: [NodeService.method.uncordonNode],
  timeoutSeconds: () => 60,
  async preview(looking, { node }) {
    const { isCordoned } = await read(looking, node);
    return { would: isCordoned ? `uncordons ${node}` : `nothing: ${node} is not cordoned` };
  },
  async look(doing, { node = "" }) {
    if ((await read(doing, node)).isCordoned) await doing.ask(NodeService.method.uncordonNode, { id: node });
    return { is: "done", detail: `${node} takes workloads` };
  },
};

export const declareDead: Act = {
  name: "declare-dead",
  description:
    "Your word that the node is gone for good: its workloads that say so come back from their newest snapshot elsewhere. It cannot be taken back, and is refused while the node is heard; put a confirm before it.",
  inputs: [nodeInput, { name: "reason", type: "text", description: "how you know; kept in the audit", defaultValue: "" }],
  methods: [NodeService.method.declareNodeDead],
  timeoutSeconds: () => 60,
  async preview(looking, { node = "" }) {
    const would = `declares ${node} dead`;
    if ((await read(looking, node)).isConnected) return { would, problems: [`${node} is heard: it is not dead`] };
    const { workloads } = await looking.ask(NodeService.method.declareNodeDead, { id: node, isDryRun: true });
    return { would, effects: workloads.map(({ name, outcome }) => `${name} ${outcome}`) };
  },
  async look(doing, { node = "", reason }) {
    const { declaredDeadAt } = await read(doing, node);
    if (declaredDeadAt === undefined) await doing.ask(NodeService.method.declareNodeDead, { id: node, reason: reason || doing.cause });
    return { is: "done", detail: `${node} is declared dead` };
  },
};
