// aether risk
import type { Assessment } from "@aether/contract/gen/aether/v2/risk_pb";
import type { Command } from "commander";
import { action, number, wholeNumber, withCommon, withJson } from "../../options.ts";

const numberIn = (least: number, most: number) => number(`a number from ${least} to ${most}`, (value) => value >= least && value <= most);

export function registerRisk(program: Command): void {
  const risk = withCommon(program.command("risk [node]"))
    .description("how likely each node and pool is to be interrupted, and why")
    .addHelpText(
      "after",
      `
Examples:
  $ aether risk                                    # all, the most endangered first
  $ aether risk n1                                 # why, in plain words
  $ aether risk pool/us-east-1/us-east-1a/m5.large
  $ aether risk history n1                         # what it was before
  $ aether risk replay --move-above-ratio 3        # what another policy would have done
  $ aether risk serve --port 3100                  # POST /analyze alone`,
    )
    .action(
      action(async ({ core, output, signal }, node: string | undefined) => {
        const { ExplainRiskResponseSchema, ListAssessmentsResponseSchema, RiskService } = await import(
          "@aether/contract/gen/aether/v2/risk_pb"
        );
        const { toPlain } = await import("../../plain.ts");
        const client = (await core()).client(RiskService);
        if (node !== undefined) {
          const answer = await client.explainRisk({ subject: subjectOf(node) }, { signal, timeoutMs: 15_000 });
          return output.result(toPlain(ExplainRiskResponseSchema, answer), () =>
            [
              ...answer.lines,
              ...(answer.assessment?.inputs ?? []).map(({ name, value, source }) => `  ${name}: ${value} (${source})`),
            ].join("\n"),
          );
        }
        const { everyPage } = await import("../../pages.ts");
        const list: Assessment[] = await everyPage(async (page) => {
          const answer = await client.listAssessments({ page }, { signal, timeoutMs: 15_000 });
          return { items: answer.assessments, nextPageToken: answer.nextPageToken };
        });
        output.result(
          toPlain(ListAssessmentsResponseSchema, { assessments: list }),
          await table(list, output.width, "No spot node is registered, so nothing is assessed."),
        );
      }),
    );
  withCommon(risk.command("history <node>"))
    .description("earlier assessments of a node or pool, the newest first")
    .option("--limit <count>", "at most so many", wholeNumber(1, 10_000), 20)
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether risk history n1 --limit 5\n  $ aether risk history pool/us-east-1/us-east-1a/m5.large --json",
    )
    .action(
      action(async ({ core, output, signal }, node: string, { limit }: { limit: number }) => {
        const { ListRiskHistoryResponseSchema, RiskService } = await import("@aether/contract/gen/aether/v2/risk_pb");
        const { toPlain } = await import("../../plain.ts");
        const { everyPage } = await import("../../pages.ts");
        const client = (await core()).client(RiskService);
        const list: Assessment[] = await everyPage(async (page) => {
          const answer = await client.listRiskHistory({ page, subject: subjectOf(node) }, { signal, timeoutMs: 15_000 });
          return { items: answer.assessments, nextPageToken: answer.nextPageToken };
        }, limit);
        output.result(
          toPlain(ListRiskHistoryResponseSchema, { assessments: list }),
          await table(list, output.width, `Nothing is kept of ${node}.`),
        );
      }),
    );
  registerReplay(risk);
  registerServe(risk);
}

/** A bare name is a node. */
const subjectOf = (text: string): string => (text.includes("/") ? text : `node/${text}`);

async function table(list: readonly Assessment[], width: number, empty: string): Promise<() => string> {
  const { renderTable } = await import("../../render/table.ts");
  const { ago } = await import("../../render/units.ts");
  const nowMs = Date.now();
  const within = (assessment: Assessment, seconds: number): string => {
    const horizon = assessment.horizons.find(({ horizonSeconds }) => horizonSeconds === seconds);
    return horizon === undefined ? "-" : `${(100 * horizon.probability).toFixed(1)} %`;
  };
  const range = (assessment: Assessment): string => {
    const hour = assessment.horizons.find(({ horizonSeconds }) => horizonSeconds === 3600);
    return hour === undefined ? "-" : `${(100 * hour.low).toFixed(0)}-${(100 * hour.high).toFixed(0)} %`;
  };
  return () =>
    renderTable(
      list,
      [
        { title: "SUBJECT", cell: (a) => a.subject },
        { title: "WHEN", cell: (a) => ago(a.at, nowMs) },
        { title: "2 MIN", align: "right", cell: (a) => within(a, 120) },
        { title: "10 MIN", align: "right", cell: (a) => within(a, 600) },
        { title: "1 H", align: "right", cell: (a) => within(a, 3600) },
        { title: "RANGE", align: "right", cell: range },
        { title: "6 H", align: "right", cell: (a) => within(a, 21_600) },
        { title: "24 H", align: "right", cell: (a) => within(a, 86_400) },
        { title: "FIRST REASON", cell: (a) => a.contributions[0]?.words ?? "" },
      ],
      width,
      empty,
    );
}

interface ReplayFlags {
  readonly hours: number;
  readonly traces?: string;
  readonly group?: string;
  readonly onDemandPrice: number;
  readonly spotPrice: number;
  readonly horizonSeconds?: number;
  readonly moveAboveRatio?: number;
  readonly restSeconds?: number;
  readonly mostMovesPerDay?: number;
}

function registerReplay(risk: Command): void {
  withCommon(risk.command("replay"))
    .description("what a move policy would have done over the recorded history; nothing is moved")
    .option("--hours <h>", "how far back; 0: all that is kept", wholeNumber(0, 8760), 0)
    .option("--horizon-seconds <s>", "the time over which staying and moving are compared", wholeNumber(120, 86_400))
    .option("--move-above-ratio <x>", "staying must be expected to lose so many times the cost of moving", numberIn(1, 100))
    .option("--rest-seconds <s>", "no second move before", wholeNumber(0, 604_800))
    .option("--most-moves-per-day <n>", "no more in a day", wholeNumber(0, 1000))
    .option("--traces <dir>", "over recorded markets instead: folder with manifest.csv and the traces it names")
    .option("--group <name>", "with --traces: this group")
    .option("--on-demand-price <usd>", "with --traces: USD per hour", numberIn(0, 10_000), 3.06)
    .option("--spot-price <usd>", "with --traces: USD per hour, where a trace has no prices", numberIn(0, 10_000), 0.9731)
    .addHelpText(
      "after",
      `
What is not given is as the control plane has it.

Examples:
  $ aether risk replay --move-above-ratio 3 --rest-seconds 7200
  $ aether risk replay --traces DIR --group aws-2023-02-15`,
    )
    .action(
      action(async ({ core, output, signal }, flags: ReplayFlags) => {
        const { hours, traces, group, onDemandPrice, spotPrice, horizonSeconds, moveAboveRatio, restSeconds, mostMovesPerDay } = flags;
        const policy = Object.fromEntries(
          Object.entries({ horizonSeconds, moveAboveRatio, restSeconds, mostMovesPerDay }).filter(([, value]) => value !== undefined),
        );
        if (traces !== undefined) {
          const { resolve } = await import("node:path");
          const { replayTraces } = await import("./replay-traces.ts");
          const report = replayTraces({
            traces: resolve(traces),
            group,
            onDemandUsdPerHour: onDemandPrice,
            spotUsdPerHour: spotPrice,
            policy,
          });
          return output.result(
            { ...report, pools: [...report.pools] },
            () =>
              `${report.summary}\nover ${report.ticks} ticks of ${report.tickSeconds} s in ${report.pools.length} pools of ${report.group}`,
          );
        }
        const { ReplayPolicyResponseSchema, RiskService } = await import("@aether/contract/gen/aether/v2/risk_pb");
        const { toPlain } = await import("../../plain.ts");
        const answer = await (await core()).client(RiskService).replayPolicy({ hours, policy }, { signal, timeoutMs: 60_000 });
        output.result(toPlain(ReplayPolicyResponseSchema, answer), () =>
          [
            answer.summary,
            answer.ticks === 0 ? "" : `over ${answer.ticks} ticks of ten minutes in ${answer.pools.length} pools`,
            ...answer.unknown,
          ]
            .filter(Boolean)
            .join("\n"),
        );
      }),
    );
}

function registerServe(risk: Command): void {
  withJson(risk.command("serve"))
    .description("POST /analyze alone, without a database or a fleet, until it is stopped")
    .option("--host <address>", "where to listen", "127.0.0.1")
    .option("--port <port>", "0: any that is free", wholeNumber(0, 65_535), 3100)
    .option("--token-file <file>", "callers must send what is in it as `Authorization: Bearer`; required off the loopback")
    .option("--trend <fraction>", "rule: price spike above so much over the mean of the last ten", numberIn(0.000_001, 100))
    .option("--volatility-usd <usd>", "rule: standard deviation of the prices", numberIn(0.000_001, 10_000))
    .addHelpText(
      "after",
      `
Examples:
  $ aether risk serve &
  $ curl -s localhost:3100/analyze -H 'content-type: application/json' -d '{"spotPriceHistory":[0.03,0.03,0.05],"rebalanceSignal":false,"capacityScore":0.8}'`,
    )
    .action(async (options: { host: string; port: number; tokenFile?: string; trend?: number; volatilityUsd?: number }) => {
      const { serveRisk } = await import("@aether/core");
      const { DEFAULT_RULE_THRESHOLDS } = await import("@aether/risk");
      const { host, port, tokenFile } = options;
      const thresholds = {
        trend: options.trend ?? DEFAULT_RULE_THRESHOLDS.trend,
        volatilityUsd: options.volatilityUsd ?? DEFAULT_RULE_THRESHOLDS.volatilityUsd,
      };
      await serveRisk({ host, port, tokenFile, thresholds });
    });
}
