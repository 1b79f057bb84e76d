// aether drill start|stop|report
import type { Drill } from "@aether/contract/gen/aether/v2/drill_pb";
import { type Command, Option } from "commander";
import { ExitWith } from "../exit-with.ts";
import { action, type Context, wholeNumber, withCommon } from "../options.ts";

const kinds = { notice: 1, rebalance: 2 } as const;

export function registerDrill(program: Command): void {
  const drill = program.command("drill").description("rehearse an interruption, and judge what happened");
  withCommon(drill.command("start"))
    .description("announce an interruption to a node, where AWS would; --wait for the verdict")
    .addOption(new Option("--kind <kind>", "what is announced").choices(Object.keys(kinds)).default("notice"))
    .option("--node <node>", "by default the one with the most workloads")
    .option("--window <seconds>", "from the notice to the reclaim", wholeNumber(10, 3600), 120)
    .option("--wait", "until the verdict; exit 0 only when it passed")
    .addHelpText("after", "\nExamples:\n  $ aether drill start --kind notice --node n1 --wait\n  $ aether drill start --wait --json")
    .action(
      action(async (context, options: { kind: keyof typeof kinds; node?: string; window: number; wait?: boolean }) => {
        const { DrillSchema, DrillService, DrillState } = await import("@aether/contract/gen/aether/v2/drill_pb");
        const { toPlain } = await import("../plain.ts");
        const { describeDrill } = await import("../render/describe.ts");
        const { core, output, signal } = context;
        const client = (await core()).client(DrillService);
        const nodeId = options.node ?? (await busiestNode(context));
        const request = { kind: kinds[options.kind], nodeId, windowSeconds: options.window };
        let state = (await client.startDrill(request, { signal, timeoutMs: 15_000 })).drill;
        output.say(`${state?.id}: ${options.kind} announced to ${nodeId}, reclaim in ${options.window} s`);
        if (options.wait === true && state !== undefined) state = await untilVerdict(context, state, options.window);
        const shown = state;
        output.result(toPlain(DrillSchema, shown ?? {}), () => (shown === undefined ? "" : describeDrill(shown)));
        if (options.wait === true && shown?.state !== DrillState.PASSED) throw new ExitWith(1);
      }),
    );
  withCommon(drill.command("stop [id]"))
    .description("withdraw the announcement of a drill, by default of the one that runs; moves that run go on")
    .addHelpText("after", "\nExamples:\n  $ aether drill stop")
    .action(
      action(async ({ core, output, signal }, id: string | undefined) => {
        const { DrillSchema, DrillService, DrillState } = await import("@aether/contract/gen/aether/v2/drill_pb");
        const { fault } = await import("@aether/contract");
        const { toPlain } = await import("../plain.ts");
        const client = (await core()).client(DrillService);
        const running = async () =>
          (await client.listDrills({ page: { pageSize: 100 } }, { signal, timeoutMs: 15_000 })).drills.find(
            (d) => d.state === DrillState.RUNNING,
          )?.id;
        const which = id ?? (await running());
        if (which === undefined) throw fault("DRILL_NOT_FOUND", "no drill runs", { field: "id" });
        const answer = await client.stopDrill({ id: which }, { signal, timeoutMs: 15_000 });
        output.result(toPlain(DrillSchema, answer.drill ?? {}), () => `${which} is stopped`);
      }),
    );
  withCommon(drill.command("report [id]"))
    .description("one drill with its checks and what each client saw; without an id, the newest")
    .option("--all", "list all instead")
    .addHelpText("after", "\nExamples:\n  $ aether drill report\n  $ aether drill report drl-… --json\n  $ aether drill report --all")
    .action(
      action(async (context, id: string | undefined, options: { all?: boolean }) => {
        if (options.all === true) return listDrills(context);
        const { DrillSchema, DrillService } = await import("@aether/contract/gen/aether/v2/drill_pb");
        const { fault } = await import("@aether/contract");
        const { toPlain } = await import("../plain.ts");
        const { describeDrill } = await import("../render/describe.ts");
        const client = (await context.core()).client(DrillService);
        const call = { signal: context.signal, timeoutMs: 15_000 };
        const found =
          id === undefined
            ? (await client.listDrills({ page: { pageSize: 1 } }, call)).drills[0]
            : (await client.getDrill({ id }, call)).drill;
        if (found === undefined) throw fault("DRILL_NOT_FOUND", "there was no drill yet", { hint: "Start one: aether drill start --wait" });
        context.output.result(toPlain(DrillSchema, found), () => describeDrill(found));
      }),
    );
}

async function listDrills({ core, output, signal }: Context): Promise<void> {
  const { DrillKind, DrillService, DrillState, ListDrillsResponseSchema } = await import("@aether/contract/gen/aether/v2/drill_pb");
  const { toPlain } = await import("../plain.ts");
  const { renderTable } = await import("../render/table.ts");
  const { ago, duration, word } = await import("../render/units.ts");
  const { everyPage } = await import("../pages.ts");
  const client = (await core()).client(DrillService);
  const drills: Drill[] = await everyPage(async (page) => {
    const answer = await client.listDrills({ page }, { signal, timeoutMs: 15_000 });
    return { items: answer.drills, nextPageToken: answer.nextPageToken };
  });
  const nowMs = Date.now();
  output.result(toPlain(ListDrillsResponseSchema, { drills }), () =>
    renderTable(
      drills,
      [
        { title: "ID", cell: (d) => d.id },
        { title: "KIND", cell: (d) => word(DrillKind, d.kind) },
        { title: "NODE", cell: (d) => d.nodeId },
        { title: "VERDICT", cell: (d) => word(DrillState, d.state) },
        { title: "DECIDED", align: "right", cell: (d) => (d.noticeToDecisionMs > 0 ? duration(d.noticeToDecisionMs) : "-") },
        { title: "SAFE", align: "right", cell: (d) => (d.noticeToSafeMs > 0 ? duration(d.noticeToSafeMs) : "-") },
        { title: "BEGUN", cell: (d) => ago(d.startedAt, nowMs) },
      ],
      output.width,
      "There was no drill yet. Start one: aether drill start --wait",
    ),
  );
}

async function busiestNode({ core, signal }: Context): Promise<string> {
  const { NodeService, NodeState } = await import("@aether/contract/gen/aether/v2/node_pb");
  const { fault } = await import("@aether/contract");
  const { nodes } = await (await core()).client(NodeService).listNodes({ page: { pageSize: 1000 } }, { signal, timeoutMs: 15_000 });
  const ready = nodes.filter((node) => node.state === NodeState.READY).sort((a, b) => b.workloads.length - a.workloads.length);
  if (ready[0] === undefined) throw fault("NODE_NOT_FOUND", "no node is ready", { field: "node" });
  return ready[0].id;
}

/** Asks each 300 ms, and says what is new: the decision, each migration that has begun. */
async function untilVerdict({ core, output, signal }: Context, first: Drill, windowSeconds: number): Promise<Drill> {
  const { DrillService, DrillState } = await import("@aether/contract/gen/aether/v2/drill_pb");
  const { until } = await import("@aether/kit");
  const { duration } = await import("../render/units.ts");
  const client = (await core()).client(DrillService);
  const said = new Set<string>();
  const say = (key: string, text: string) => {
    if (key !== "" && !said.has(key)) output.say(text);
    said.add(key);
  };
  return until(
    `the verdict of ${first.id}`,
    300,
    (windowSeconds + 180) * 1000,
    async () => {
      const drill = (await client.getDrill({ id: first.id }, { signal, timeoutMs: 15_000 })).drill;
      if (drill === undefined) return undefined;
      say(drill.decisionId, `decided ${duration(drill.noticeToDecisionMs)} after the notice was seen (${drill.decisionId})`);
      for (const id of drill.migrationIds) say(id, `moving: ${id}`);
      return drill.state === DrillState.RUNNING ? undefined : drill;
    },
    signal,
  );
}
