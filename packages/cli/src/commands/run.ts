// aether run NAME [options] -- COMMAND [ARG…]
import { type Command, Option } from "commander";
import { action, byteSize, collect, durationMs, durationSeconds, pidsLimit, wholeNumber, withCommon } from "../options.ts";

interface RunFlags {
  readonly rootfs: string;
  readonly address?: string;
  readonly health?: string;
  readonly volume: readonly string[];
  readonly memory?: bigint;
  readonly pids?: number;
  readonly env: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly rpo?: number;
  readonly node?: string;
  readonly label: readonly string[];
  readonly priority?: number;
  readonly maxFreeze?: number;
  readonly maxTimeToSafe?: number;
  readonly minCpu: number;
  readonly onNodeLost?: "hold" | "restore";
}

export function registerRun(program: Command): void {
  withCommon(program.command("run <name> [command...]"))
    .usage("NAME [options] -- [COMMAND [ARG...]]")
    .description("start a workload: a process tree in a container, with an address that moves with it")
    .option("--rootfs <rootfs>", "host (an overlay over this machine's own root), a directory, or oci:DIR (an OCI image layout)", "host")
    .option("--address <ip>", "IPv4 of the workload; by default a free one")
    .option("--health <check>", "tcp:PORT, http:URL or exec:COMMAND")
    .addOption(new Option("--volume <volume>", "SRC:DST:shared or SRC:DST:sync; may be repeated").argParser(collect).default([], "none"))
    .option("--memory <size>", "limit, e.g. 512M", byteSize)
    .option("--pids <number>", "processes and threads at once, or none; by default 4096", pidsLimit)
    .addOption(new Option("--env <variable>", "NAME=VALUE; may be repeated").argParser(collect).default([], "none"))
    .option("--workdir <dir>", "working directory inside; by default the image's, else /")
    .option("--user <user>", "USER or USER:GROUP, names or numbers; by default the image's, else root")
    .option(
      "--rpo <duration>",
      "make a snapshot this often, e.g. 60s: a node that dies without notice costs at most that much work",
      durationSeconds,
    )
    .option("--node <node>", "where to start it; by default where there is room")
    .option(
      "--priority <number>",
      "0 to 100; higher ones leave a node first when there is not time for all; by default as its policies say, else 0",
      wholeNumber(0, 100),
    )
    .addOption(
      new Option("--label <label>", "NAME=VALUE, by which policies choose it (aether policy --help); may be repeated")
        .argParser(collect)
        .default([], "none"),
    )
    .option("--max-freeze <duration>", "objective: its clients may wait so long, e.g. 500ms", durationMs)
    .option("--max-time-to-safe <duration>", "objective: from a notice to safe, e.g. 30s", durationMs)
    .option(
      "--min-cpu <percent>",
      "let a move hold it down to this much of one processor while it writes faster than the link carries; never by default",
      wholeNumber(10, 10_000),
      0,
    )
    .addOption(
      new Option(
        "--on-node-lost <policy>",
        "when its node dies with it: hold (a person decides), or restore (its newest snapshot, elsewhere); by default as its policies say, else hold",
      ).choices(["hold", "restore"]),
    )
    .addHelpText(
      "after",
      `
Examples:
  $ aether run db --health tcp:6379 -- redis-server --bind 0.0.0.0 --protected-mode no
  $ aether run web --rootfs /srv/web --address 10.77.1.20 --env MODE=prod --memory 512M -- /app/server --port 80
  $ aether run cache --rootfs oci:/srv/images/redis        # the image's own command, user, directory and environment
  $ aether run pg --rpo 60s --volume /srv/pg:/data:sync --health exec:"pg_isready" -- postgres -D /data
  $ aether run api --label tier=web -- /srv/api            # what its policies say counts where no flag is given`,
    )
    .action(
      action(async ({ core, output, signal }, name: string, argv: string[], flags: RunFlags) => {
        const { parseIpv4, parseLabel } = await import("@aether/contract");
        const { parseEnvironment, parseHealth, parseLabels, parseVolume } = await import("../workload-flags.ts");
        if (argv.length === 0 && !flags.rootfs.startsWith("oci:")) {
          const { fault } = await import("@aether/contract");
          throw fault("INVALID_ARGUMENT", "there is no command to run", {
            field: "command",
            hint: "Give one after --; only an image (--rootfs oci:DIR) has a command of its own.",
          });
        }
        const { OnNodeLost, WorkloadSchema, WorkloadService, WorkloadState } = await import("@aether/contract/gen/aether/v2/workload_pb");
        const spec = {
          name: parseLabel(name, "name"),
          rootfs: flags.rootfs,
          argv,
          address: flags.address === undefined ? "" : parseIpv4(flags.address, "address"),
          ...(flags.health === undefined ? {} : { health: parseHealth(flags.health) }),
          volumes: flags.volume.map(parseVolume),
          memoryLimitBytes: flags.memory ?? 0n,
          pidsLimit: flags.pids ?? 0,
          env: parseEnvironment(flags.env),
          workingDirectory: flags.workdir ?? "",
          user: flags.user ?? "",
          rpoSeconds: flags.rpo ?? 0,
          labels: parseLabels(flags.label),
          evacuation: {
            priority: flags.priority ?? 0,
            maxFreezeMs: flags.maxFreeze ?? 0,
            maxTimeToSafeMs: flags.maxTimeToSafe ?? 0,
            minCpuPercent: flags.minCpu,
            onNodeLost: { hold: OnNodeLost.HOLD, restore: OnNodeLost.RESTORE, unsaid: OnNodeLost.UNSPECIFIED }[
              flags.onNodeLost ?? "unsaid"
            ],
          },
        };
        const { toPlain } = await import("../plain.ts");
        const { word } = await import("../render/units.ts");
        const answer = await (await core())
          .client(WorkloadService)
          .runWorkload({ spec, nodeId: flags.node ?? "" }, { signal, timeoutMs: 90_000 });
        output.result(toPlain(WorkloadSchema, answer.workload ?? {}), () => {
          const workload = answer.workload;
          return `${name} is ${word(WorkloadState, workload?.state ?? 0)} on ${workload?.nodeId} at ${workload?.spec?.address}\nSee it: aether inspect ${name}   Move it: aether migrate ${name}`;
        });
      }),
    );
}
