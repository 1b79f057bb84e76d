// aether inspect NAME|NODE
import type { Command } from "commander";
import { action, type Context, withCommon } from "../options.ts";

export function registerInspect(program: Command): void {
  withCommon(program.command("inspect <name>"))
    .description("everything about one workload or node; whether it could be moved now")
    .addHelpText("after", "\nExamples:\n  $ aether inspect db\n  $ aether inspect n1 --json")
    .action(
      action(async (context, name: string) => {
        if (await inspectWorkload(context, name)) return;
        if (await inspectNode(context, name)) return;
        const { fault } = await import("@aether/contract");
        throw fault("WORKLOAD_NOT_FOUND", `there is no workload and no node ${JSON.stringify(name)}`, {
          field: "name",
          hint: "`aether ps` and `aether nodes` list what exists.",
        });
      }),
    );
}

async function inspectWorkload({ core, output, signal }: Context, name: string): Promise<boolean> {
  const { Fault } = await import("@aether/contract");
  const { GetWorkloadResponseSchema, WorkloadService, WorkloadState } = await import("@aether/contract/gen/aether/v2/workload_pb");
  const { MigrationService, PreflightReportSchema } = await import("@aether/contract/gen/aether/v2/migration_pb");
  const { toPlain } = await import("../plain.ts");
  const way = await core();
  const found = await way
    .client(WorkloadService)
    .getWorkload({ name }, { signal, timeoutMs: 15_000 })
    .catch((caught: unknown) => unlessCode(caught, "WORKLOAD_NOT_FOUND", "INVALID_ARGUMENT"));
  const workload = found?.workload;
  if (workload === undefined) return false;
  // The preflight needs the node; a workload can be looked at without it.
  const preflight =
    workload.state === WorkloadState.RUNNING
      ? await way
          .client(MigrationService)
          .preflightWorkload({ workload: name }, { signal, timeoutMs: 20_000 })
          .catch((caught: unknown) => Fault.from(caught))
      : undefined;
  const { CertificateSchema, CertificateService } = await import("@aether/contract/gen/aether/v2/certificate_pb");
  const certified = await way
    .client(CertificateService)
    .getCertificate({ workload: name }, { signal, timeoutMs: 15_000 })
    .catch((caught: unknown) => unlessCode(caught, "WORKLOAD_NOT_FOUND"));
  const certificate = certified?.certificate;
  const report = preflight instanceof Fault ? undefined : preflight?.report;
  const { describeWorkload } = await import("../render/describe.ts");
  output.result(
    {
      ...(toPlain(GetWorkloadResponseSchema, { workload }) as object),
      ...(report && { preflight: toPlain(PreflightReportSchema, report) }),
      ...(preflight instanceof Fault && { preflightError: { code: preflight.code, message: preflight.message } }),
      ...(certificate && { certificate: toPlain(CertificateSchema, certificate) }),
    },
    () =>
      [
        describeWorkload(workload, report, preflight instanceof Fault ? preflight.message : ""),
        ...(certificate ? [`If its node were reclaimed now: ${certificate.summary}\n  aether certificate ${name}`] : []),
      ].join("\n\n"),
  );
  return true;
}

async function inspectNode({ core, output, signal }: Context, id: string): Promise<boolean> {
  const { GetNodeResponseSchema, NodeService } = await import("@aether/contract/gen/aether/v2/node_pb");
  const { toPlain } = await import("../plain.ts");
  const found = await (await core())
    .client(NodeService)
    .getNode({ id }, { signal, timeoutMs: 15_000 })
    .catch((caught: unknown) => unlessCode(caught, "NODE_NOT_FOUND", "INVALID_ARGUMENT"));
  const node = found?.node;
  if (node === undefined) return false;
  const { describeNode } = await import("../render/describe.ts");
  const { DecisionSchema, DecisionService } = await import("@aether/contract/gen/aether/v2/signal_pb");
  const { decisions } = await (await core())
    .client(DecisionService)
    .listDecisions({ nodeId: id, page: { pageSize: 1 } }, { signal, timeoutMs: 15_000 });
  const last = decisions[0];
  output.result(
    { ...(toPlain(GetNodeResponseSchema, { node }) as object), ...(last && { lastDecision: toPlain(DecisionSchema, last) }) },
    () =>
      last === undefined
        ? describeNode(node)
        : `${describeNode(node)}\n\nLast decision: ${last.rule}: ${last.reason}\n  aether decisions ${last.id}`,
  );
  return true;
}

/** Nothing is found; any other error goes on. */
async function unlessCode(caught: unknown, ...codes: readonly string[]): Promise<undefined> {
  const { Fault } = await import("@aether/contract");
  if (!codes.includes(Fault.from(caught).code)) throw caught;
}
