// aether drill report [DRILL], --verify [FILE]
import type { Drill, DrillReport, GetDrillReportResponse } from "@aether/contract/gen/aether/v2/drill_pb";
import type { ReceiptCheck } from "@aether/contract/receipt";
import type { Command } from "commander";
import { ExitWith } from "../../exit-with.ts";
import { action, type Context, withCommon } from "../../options.ts";

interface ReportFlags {
  readonly all?: boolean;
  /** true: the drill named; a text: a file. */
  readonly verify?: true | string;
  readonly output?: string;
  readonly trust?: string;
  readonly saveTrust?: string;
}

export function registerReport(drill: Command): void {
  withCommon(drill.command("report [id]"))
    .description("one drill: its checks, what each client saw, foretold against measured; without an id, the newest")
    .option("--all", "list all instead")
    .option("-o, --output <file>", "save it: .json signed, .md and .html to read or print")
    .option("--verify [file]", "check the control plane's signature: of the drill, or of a saved .json")
    .option("--trust <file>", "the trust bundle to check against, PEM; by default the control plane's")
    .option("--save-trust <file>", "save the control plane's trust bundle; keep it apart from reports")
    .addHelpText(
      "after",
      `
Examples:
  $ aether drill report
  $ aether drill report drl-… --verify
  $ aether drill report drl-… -o drill.json --save-trust trust.pem
  $ aether drill report drl-… -o drill.html
  $ aether drill report --verify drill.json --trust trust.pem     # needs no control plane
  $ aether drill report --all`,
    )
    .action(
      action(async (context, named: string | undefined, flags: ReportFlags) => {
        if (flags.all === true) return listDrills(context);
        const isDrill = typeof flags.verify === "string" && flags.verify.startsWith("drl-");
        if (typeof flags.verify === "string" && !isDrill) return verifyFile(context, flags.verify, flags.trust);
        const id = named ?? (isDrill ? String(flags.verify) : undefined);
        const found = await findDrill(context, id);
        if (flags.verify === undefined && flags.output === undefined && flags.saveTrust === undefined) return show(context, found);
        const { DrillService } = await import("@aether/contract/gen/aether/v2/drill_pb");
        const client = (await context.core()).client(DrillService);
        const answer = await client.getDrillReport({ id: found.id }, { signal: context.signal, timeoutMs: 15_000 });
        await save(context, answer, flags);
        if (flags.verify === undefined) return;
        const trust = flags.trust === undefined ? answer.trustBundlePem : await readOrFault(flags.trust);
        await verify(context, answer, trust);
      }),
    );
}

async function findDrill(context: Context, id: string | undefined): Promise<Drill> {
  const { DrillService } = await import("@aether/contract/gen/aether/v2/drill_pb");
  const { fault } = await import("@aether/contract");
  const client = (await context.core()).client(DrillService);
  const call = { signal: context.signal, timeoutMs: 15_000 };
  const found =
    id === undefined ? (await client.listDrills({ page: { pageSize: 1 } }, call)).drills[0] : (await client.getDrill({ id }, call)).drill;
  if (found === undefined) throw fault("DRILL_NOT_FOUND", "there was no drill yet", { hint: "Start one: aether drill start --wait" });
  return found;
}

async function show(context: Context, found: Drill): Promise<void> {
  const { DrillSchema } = await import("@aether/contract/gen/aether/v2/drill_pb");
  const { toPlain } = await import("../../plain.ts");
  const { describeDrill } = await import("../../render/describe.ts");
  context.output.result(toPlain(DrillSchema, found), () => describeDrill(found));
}

async function save({ output }: Context, answer: GetDrillReportResponse, { output: file, saveTrust }: ReportFlags): Promise<void> {
  const { writeFile } = await import("node:fs/promises");
  if (file !== undefined) {
    await writeFile(file, file.endsWith(".html") ? answer.html : file.endsWith(".md") ? answer.markdown : await savedText(answer));
    output.say(/\.(html|md)$/.test(file) ? file : `${file}: check it with aether drill report --verify ${file} --trust BUNDLE`);
  }
  if (saveTrust !== undefined) await writeFile(saveTrust, answer.trustBundlePem);
}

async function savedText({ report, statement }: GetDrillReportResponse): Promise<string> {
  const { GetDrillReportResponseSchema } = await import("@aether/contract/gen/aether/v2/drill_pb");
  const { create, toJsonString } = await import("@bufbuild/protobuf");
  const kept = create(GetDrillReportResponseSchema, { ...(report && { report }), ...(statement && { statement }) });
  return `${toJsonString(GetDrillReportResponseSchema, kept, { prettySpaces: 2 })}\n`;
}

async function verifyFile(context: Context, file: string, trustFile: string | undefined): Promise<void> {
  const { fault } = await import("@aether/contract");
  const { GetDrillReportResponseSchema } = await import("@aether/contract/gen/aether/v2/drill_pb");
  const { fromJsonString } = await import("@bufbuild/protobuf");
  if (trustFile === undefined)
    throw fault("INVALID_ARGUMENT", "a saved report is checked against a trust bundle that you keep yourself", {
      field: "trust",
      hint: "Add --trust FILE. `aether drill report DRILL --save-trust FILE` saves the control plane's.",
    });
  const text = await readOrFault(file);
  let answer: GetDrillReportResponse;
  try {
    answer = fromJsonString(GetDrillReportResponseSchema, text);
  } catch (cause) {
    throw fault("INVALID_ARGUMENT", `${file} is not the report of a drill: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  await verify(context, answer, await readOrFault(trustFile));
}

async function readOrFault(file: string): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  const { fault } = await import("@aether/contract");
  return readFile(file, "utf8").catch((cause: unknown) => {
    throw fault("INVALID_ARGUMENT", `${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  });
}

/** Says each check; a failed one makes the command fail. */
async function verify({ output }: Context, answer: GetDrillReportResponse, trustBundlePem: string): Promise<void> {
  const { verifyDrillReport } = await import("@aether/contract/receipt");
  const { report, checks } = await verifyDrillReport(answer, trustBundlePem, globalThis.crypto.subtle);
  const failed = checks.filter(({ isPassed }) => !isPassed);
  output.result({ drillId: report?.drill?.id ?? "", isVerified: failed.length === 0, checks }, () => describe(report, checks, failed));
  if (failed.length > 0) throw new ExitWith(1);
}

const describe = (report: DrillReport | undefined, checks: readonly ReceiptCheck[], failed: readonly ReceiptCheck[]): string =>
  [
    `report of ${report?.drill?.id ?? "a drill"}`,
    ...checks.map((each) => `  ${each.isPassed ? "✓" : "✗"} ${each.name}: ${each.detail}`),
    failed.length === 0 ? "Verified." : `NOT VERIFIED: ${failed.map(({ name }) => name).join("; ")}`,
  ].join("\n");

async function listDrills({ core, output, signal }: Context): Promise<void> {
  const { DrillKind, DrillService, DrillState, ListDrillsResponseSchema } = await import("@aether/contract/gen/aether/v2/drill_pb");
  const { toPlain } = await import("../../plain.ts");
  const { renderTable } = await import("../../render/table.ts");
  const { ago, duration, word } = await import("../../render/units.ts");
  const { everyPage } = await import("../../pages.ts");
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
