// aether backup create|restore
import type { Command } from "commander";
import { action, withCommon, withJson } from "../options.ts";

interface CreateFlags {
  readonly passphraseFile?: string;
  readonly recipient?: string[];
  readonly telemetry?: boolean;
}

interface RestoreFlags {
  readonly config?: string;
  readonly dataDir?: string;
  readonly passphraseFile?: string;
  readonly identity?: string[];
}

const collect = (value: string, before: string[] | undefined) => [...(before ?? []), value];

export function registerBackup(program: Command): void {
  const backup = program.command("backup").description("the whole control plane at one moment, encrypted; and back");
  withCommon(backup.command("create <file>"))
    .description("database and keys of the cluster, in the format of age (age-encryption.org/v1)")
    .option("--passphrase-file <file>", "whose first line is the passphrase, at least 12 characters")
    .option("--recipient <key>", "a public key of age (age1…), also several times: no secret is sent", collect)
    .option("--telemetry", "also what nodes and workloads used: large, and of use to graphs alone")
    .addHelpText(
      "after",
      "\nThe keys of the cluster are in it: keep it as safe as them. Snapshots of workloads are not; they stay in the nodes' store.\n\nExamples:" +
        "\n  $ aether backup create cluster.age --passphrase-file ~/.aether-passphrase\n  $ aether backup create cluster.age --recipient age1…",
    )
    .action(
      action(async ({ core, output, signal }, file: string, flags: CreateFlags) => {
        const { OpsService } = await import("@aether/contract/gen/aether/v2/ops_pb");
        const { saveStream } = await import("../save-stream.ts");
        const request = {
          passphrase: await passphraseOf(flags.passphraseFile),
          recipients: flags.recipient ?? [],
          includeTelemetry: flags.telemetry === true,
        };
        const size = await saveStream(file, (await core()).client(OpsService).createBackup(request, { signal }), output.say);
        output.result(
          { file, bytes: size },
          () => `${file}: ${size} bytes. Try it now and then: aether backup restore ${file} --data-dir /tmp/trial`,
        );
      }),
    );
  withJson(backup.command("restore <file>"))
    .description("into an empty directory and database, while no control plane runs there")
    .option("--config <file>", "of the control plane that is to be: its dataDir, its database")
    .option("--data-dir <dir>", "instead of the configuration's")
    .option("--passphrase-file <file>", "whose first line is the passphrase")
    .option("--identity <file>", "a private key of age, as age-keygen writes it; also several times", collect)
    .addHelpText(
      "after",
      "\nAll or nothing: a damaged or cut file leaves the database empty. Agents find the new control plane under the old address, by the same authority.\n\nExamples:" +
        "\n  $ aether backup restore cluster.age --config /etc/aether/core.yaml --passphrase-file ~/.aether-passphrase",
    )
    .action(
      action(async ({ output, signal }, file: string, flags: RestoreFlags) => {
        const { resolve } = await import("node:path");
        const { readFile } = await import("node:fs/promises");
        const { loadConfig } = await import("@aether/kit");
        const { coreConfig, restoreBackup } = await import("@aether/core");
        const overrides = flags.dataDir === undefined ? {} : { dataDir: resolve(flags.dataDir) };
        const config = await loadConfig(coreConfig, { file: flags.config, prefix: "AETHER_CORE", overrides });
        const keys = await Promise.all((flags.identity ?? []).map((each) => readFile(each, "utf8")));
        const identities = keys.flatMap((text) => text.match(/^AGE-SECRET-KEY-1[0-9A-Z]+$/gm) ?? []);
        const passphrase = await passphraseOf(flags.passphraseFile);
        const restored = await restoreBackup(
          {
            file,
            config,
            identities,
            ...(passphrase === "" ? {} : { passphrase }),
            onTable: (table, rows) => output.say(`${table}: ${rows}`),
          },
          signal,
        );
        const count = Object.values(restored.rows).reduce((sum, rows) => sum + rows, 0);
        output.result(
          restored,
          () =>
            `${count} rows of ${restored.at} are in ${config.dataDir}. Start it: aether core${flags.config ? ` --config ${flags.config}` : ""}`,
        );
      }),
    );
}

async function passphraseOf(file: string | undefined): Promise<string> {
  if (file === undefined) return "";
  const { readFile } = await import("node:fs/promises");
  const { fault } = await import("@aether/contract");
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw fault("INVALID_ARGUMENT", `${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, {
      field: "passphrase-file",
      cause,
    });
  });
  return text.split("\n")[0]?.trim() ?? "";
}
