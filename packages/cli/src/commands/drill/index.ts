// aether drill start|stop; report and schedules have files of their own.
import type { Drill } from "@aether/contract/gen/aether/v2/drill_pb";
import type { Command } from "commander";
import { ExitWith } from "../../exit-with.ts";
import { action, type Context, wholeNumber, withCommon } from "../../options.ts";
import { type DrillKindName, drillKinds, kindOption } from "./kinds.ts";
import { registerReport } from "./report.ts";
import { registerSchedules } from "./schedules.ts";

const kindHelp = `
Kinds:
  notice     an interruption is announced where AWS would announce it
  rebalance  a rebalance recommendation
  price      the spot price of the node's pool rises (--price-factor): assessed, weighed, decided
  capacity   a notice, and the pool of the target that would be taken has no capacity
  crash      the node's agent is killed, where its configuration has allowChaos: true
`;

export function registerDrill(program: Command): void {
  const drill = program.command("drill").description("rehearse an interruption, and judge what happened");
  withCommon(drill.command("start"))
    .description("begin one on a node; --wait for the verdict")
    .addOption(kindOption())
    .option("--node <node>", "by default the one with the most workloads")
    .option("--window <seconds>", "from the notice to the reclaim", wholeNumber(10, 3600), 120)
    .option("--price-factor <factor>", "of a price drill: times the last price", Number)
    .option("--wait", "until the verdict; exit 0 only when it passed")
    .addHelpText(
      "after",
      `${kindHelp}\nExamples:\n  $ aether drill start --kind notice --node n1 --wait\n  $ aether drill start --kind crash --wait\n  $ aether drill start --wait --json`,
    )
    .action(
      action(async (context, options: { kind: DrillKindName; node?: string; window: number; priceFactor?: number; wait?: boolean }) => {
        const { DrillSchema, DrillService, DrillState } = await import("@aether/contract/gen/aether/v2/drill_pb");
        const { toPlain } = await import("../../plain.ts");
        const { describeDrill } = await import("../../render/describe.ts");
        const { core, output, signal } = context;
        const client = (await core()).client(DrillService);
        const nodeId = options.node ?? (await busiestNode(context));
        const request = { kind: drillKinds[options.kind], nodeId, windowSeconds: options.window, priceFactor: options.priceFactor ?? 0 };
        let state = (await client.startDrill(request, { signal, timeoutMs: 15_000 })).drill;
        output.say(`${state?.id}: ${options.kind} on ${nodeId}, ${options.window} s`);
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
        const { toPlain } = await import("../../plain.ts");
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
  registerReport(drill);
  registerSchedules(drill);
}

async function busiestNode({ core, signal }: Context): Promise<string> {
  const { NodeService, NodeState } = await import("@aether/contract/gen/aether/v2/node_pb");
  const { fault } = await import("@aether/contract");
  const { nodes } = await (await core()).client(NodeService).listNodes({ page: { pageSize: 1000 } }, { signal, timeoutMs: 15_000 });
  const ready = nodes.filter((node) => node.state === NodeState.READY).sort((a, b) => b.workloads.length - a.workloads.length);
  if (ready[0] === undefined) throw fault("NODE_NOT_FOUND", "no node is ready", { field: "node" });
  return ready[0].id;
}

/** Looks again whenever the stream of events tells of something that may be part of it, and says what is new: the decision, each migration that has begun. */
async function untilVerdict({ core, output, signal }: Context, first: Drill, windowSeconds: number): Promise<Drill> {
  const { fault } = await import("@aether/contract");
  const { DrillService, DrillState } = await import("@aether/contract/gen/aether/v2/drill_pb");
  const { EventService } = await import("@aether/contract/gen/aether/v2/signal_pb");
  const { followEvents } = await import("../../follow-events.ts");
  const { duration } = await import("../../render/units.ts");
  const connected = await core();
  const [drills, events] = [connected.client(DrillService), connected.client(EventService)];
  const said = new Set<string>();
  const say = (key: string, text: string) => {
    if (key !== "" && !said.has(key)) output.say(text);
    said.add(key);
  };
  const late = AbortSignal.timeout((windowSeconds + 180) * 1000);
  const over = new AbortController();
  const end = AbortSignal.any([signal, late, over.signal]);
  let news = Promise.withResolvers<void>();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined); // raced below
  end.addEventListener("abort", () =>
    failed.reject(late.aborted ? fault("DEADLINE_EXCEEDED", `there is no verdict of ${first.id} yet`) : end.reason),
  );
  // From before the first look on: what happens in between is not missed.
  const { events: last } = await events.listEvents({ page: { pageSize: 1 }, newestFirst: true }, { signal: end, timeoutMs: 15_000 });
  const event = ({ subject }: { subject: string }) => {
    if (/^(drill|migration|node)\//.test(subject)) news.resolve();
  };
  const following = followEvents(events, { after: last[0]?.sequence ?? 0n, subject: "" }, end, { event, say: output.say });
  following.catch(failed.reject);
  try {
    for (;;) {
      news = Promise.withResolvers();
      const { drill } = await drills.getDrill({ id: first.id }, { signal: end, timeoutMs: 15_000 });
      if (drill !== undefined) {
        say(drill.decisionId, `decided ${duration(drill.noticeToDecisionMs)} after the notice was seen (${drill.decisionId})`);
        for (const id of drill.migrationIds) say(id, `moving: ${id}`);
        if (drill.state !== DrillState.RUNNING) return drill;
      }
      await Promise.race([news.promise, failed.promise]);
    }
  } finally {
    over.abort();
    await following.catch(() => undefined); // its failure is the one that is thrown
  }
}
