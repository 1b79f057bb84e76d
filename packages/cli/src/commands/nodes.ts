// aether nodes [dead], aether cordon, aether uncordon
import type { Node } from "@aether/contract/gen/aether/v2/node_pb";
import type { Command } from "commander";
import { ExitWith } from "../exit-with.ts";
import { action, withCommon } from "../options.ts";

export function registerNodes(program: Command): void {
  const nodes = withCommon(program.command("nodes"))
    .description("list nodes: state, what each can do, what runs there")
    .addHelpText("after", "\nExamples:\n  $ aether nodes\n  $ aether nodes --json")
    .action(
      action(async ({ core, output, signal }) => {
        const { ListNodesResponseSchema, NodeService, NodeState } = await import("@aether/contract/gen/aether/v2/node_pb");
        const { toPlain } = await import("../plain.ts");
        const { renderTable } = await import("../render/table.ts");
        const { ago, bytes, word } = await import("../render/units.ts");
        const { everyPage } = await import("../pages.ts");
        const client = (await core()).client(NodeService);
        const found: Node[] = await everyPage(async (page) => {
          const answer = await client.listNodes({ page }, { signal, timeoutMs: 15_000 });
          return { items: answer.nodes, nextPageToken: answer.nextPageToken };
        });
        const nowMs = Date.now();
        output.result(toPlain(ListNodesResponseSchema, { nodes: found }), () =>
          renderTable(
            found,
            [
              { title: "NODE", cell: (n) => n.id },
              {
                title: "STATE",
                cell: (n) => word(NodeState, n.state) + (n.isCordoned && n.state !== NodeState.CORDONED ? ", cordoned" : ""),
              },
              { title: "SEEN", cell: (n) => ago(n.seenAt, nowMs) },
              { title: "ADDRESS", cell: (n) => n.facts?.linkAddress ?? "" },
              { title: "ZONE", cell: (n) => n.facts?.cloud?.zone ?? "" },
              { title: "CRIU", cell: (n) => (n.facts?.capabilities?.criu?.available ? n.facts.capabilities.criu.version : "no") },
              { title: "FREE", align: "right", cell: (n) => (n.usage ? bytes(n.usage.memoryAvailableBytes) : "-") },
              { title: "MISSING", align: "right", cell: (n) => String(n.facts?.capabilities?.missing.length ?? 0) },
              { title: "WORKLOADS", cell: (n) => n.workloads.join(" ") || "-" },
            ],
            output.width,
            "No node is registered. Make a join token: aether token create --role agent",
          ),
        );
      }),
    );
  registerDead(nodes);
  registerCordon(program, "cordon", "take no new workload on a node; what runs there stays");
  registerCordon(program, "uncordon", "let a node take workloads again");
}

function registerDead(nodes: Command): void {
  withCommon(nodes.command("dead <node>"))
    .description("your word that a node is gone for good: its workloads may be restored elsewhere")
    .option("--reason <text>", "how you know; kept in the audit", "")
    .option("--yes", "do it; without this it is only said what becomes of its workloads")
    .addHelpText(
      "after",
      "\nThe control plane cannot know that a node that is not heard is dead; it may only be cut off. If it still runs, its workloads then run twice" +
        "\nuntil it is heard again and its copies are removed. Make sure first: the instance is terminated." +
        "\n\nExamples:\n  $ aether nodes dead n1                                   # what would that mean?" +
        "\n  $ aether nodes dead n1 --reason 'terminated, i-0abc' --yes",
    )
    .action(
      action(async ({ core, output, signal }, node: string, options: { reason: string; yes?: boolean }) => {
        const { DeclareNodeDeadResponseSchema, NodeService } = await import("@aether/contract/gen/aether/v2/node_pb");
        const { toPlain } = await import("../plain.ts");
        const isDryRun = options.yes !== true;
        const client = (await core()).client(NodeService);
        const answer = await client.declareNodeDead({ id: node, reason: options.reason, isDryRun }, { signal, timeoutMs: 15_000 });
        const fates = answer.workloads.map(({ name, outcome }) => `  - ${name} ${outcome}`).join("\n") || "  - nothing ran there";
        output.result(toPlain(DeclareNodeDeadResponseSchema, answer), () =>
          isDryRun
            ? `If ${node} is dead:\n${fates}\nNothing was changed. Do it: add --yes`
            : `${node} is dead by your word:\n${fates}\nShould it be heard again, copies that went on elsewhere are removed from it.`,
        );
        if (isDryRun) throw new ExitWith(4);
      }),
    );
}

function registerCordon(program: Command, name: "cordon" | "uncordon", description: string): void {
  const command = withCommon(program.command(`${name} <node>`)).description(description);
  if (name === "cordon") command.option("--reason <text>", "kept with the node");
  command.addHelpText("after", `\nExamples:\n  $ aether ${name} n1`).action(
    action(async ({ core, output, signal }, node: string, options: { reason?: string }) => {
      const { NodeSchema, NodeService } = await import("@aether/contract/gen/aether/v2/node_pb");
      const { toPlain } = await import("../plain.ts");
      const client = (await core()).client(NodeService);
      const call = { signal, timeoutMs: 15_000 };
      const answer =
        name === "cordon"
          ? await client.cordonNode({ id: node, reason: options.reason ?? "" }, call)
          : await client.uncordonNode({ id: node }, call);
      output.result(toPlain(NodeSchema, answer.node ?? {}), () =>
        name === "cordon" ? `${node} takes no new workload; undo: aether uncordon ${node}` : `${node} takes workloads again`,
      );
    }),
  );
}
