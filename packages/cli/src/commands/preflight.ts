// aether preflight NAME | --container NAME | --containers
import { type Command, Option } from "commander";
import { ExitWith } from "../exit-with.ts";
import { action, type Context, withCommon } from "../options.ts";

interface PreflightFlags {
  readonly container?: string;
  readonly containers?: boolean;
  readonly runtime?: "podman" | "docker";
}

export function registerPreflight(program: Command): void {
  withCommon(program.command("preflight [name]"))
    .usage("NAME | --container NAME | --containers")
    .description("what stands in the way of a move: of a workload, or of podman's and Docker's containers on this machine")
    .option("--container <name>", "a running container of this machine, by name or id; it is looked at, never stopped or changed")
    .option("--containers", "all running containers of this machine")
    .addOption(new Option("--runtime <runtime>", "only containers of this one").choices(["podman", "docker"]))
    .addHelpText(
      "after",
      `
A container is not moved in place: its address, layers and name belong to its runtime. The verdict says whether what runs
in it could be moved, and how to start the same as a workload. Needs root, as the processes belong to others.
Exit code: 0 nothing stands in the way, 3 something does.

Examples:
  $ aether preflight db
  $ sudo aether preflight --containers
  $ sudo aether preflight --container redis --json`,
    )
    .action(
      action(async (context, name: string | undefined, flags: PreflightFlags) => {
        const isOfContainers = flags.container !== undefined || flags.containers === true;
        if (name !== undefined && !isOfContainers) return workloadPreflight(context, name);
        const { fault } = await import("@aether/contract");
        if (name !== undefined || !isOfContainers)
          throw fault("INVALID_ARGUMENT", "name a workload, or give --container NAME or --containers", { field: "name" });
        await containerPreflight(context, flags);
      }),
    );
}

async function workloadPreflight({ core, output, signal }: Context, name: string): Promise<void> {
  const { MigrationService, PreflightReportSchema } = await import("@aether/contract/gen/aether/v2/migration_pb");
  const { toPlain } = await import("../plain.ts");
  const { describePreflight } = await import("../render/describe.ts");
  const client = (await core()).client(MigrationService);
  const { report } = await client.preflightWorkload({ workload: name }, { signal, timeoutMs: 20_000 });
  if (report === undefined) return;
  output.result(toPlain(PreflightReportSchema, report), () => describePreflight(report));
  if (report.blockers.length > 0) throw new ExitWith(3);
}

async function containerPreflight({ output, signal }: Context, flags: PreflightFlags): Promise<void> {
  const { containerVerdicts } = await import("@aether/agent");
  const { describeContainer } = await import("../render/container.ts");
  const { verdicts, unasked } = await containerVerdicts(
    {
      ...(flags.container === undefined ? {} : { name: flags.container }),
      ...(flags.runtime === undefined ? {} : { runtimes: [flags.runtime] }),
    },
    signal,
  );
  const reasons = unasked.map(({ runtime, reason }) => `${runtime}: ${reason}`);
  if (verdicts.length === 0 && flags.container !== undefined) {
    const { fault } = await import("@aether/contract");
    throw fault("CONTAINER_NOT_FOUND", `no running container is called ${JSON.stringify(flags.container)}${reasons.length > 0 ? ` (not asked: ${reasons.join("; ")})` : ""}`, { field: "container" }); // biome-ignore format: one sentence
  }
  const plain = JSON.parse(
    JSON.stringify({ containers: verdicts, notAsked: unasked }, (_, value) => (typeof value === "bigint" ? String(value) : value)),
  );
  output.result(plain, () =>
    [
      ...(verdicts.length === 0 ? ["No container runs here, of those that could be asked."] : verdicts.map(describeContainer)),
      ...(reasons.length > 0 ? [`Not asked: ${reasons.join("; ")}`] : []),
    ].join("\n\n"),
  );
  if (verdicts.some(({ blockers }) => blockers.length > 0)) throw new ExitWith(3);
}
