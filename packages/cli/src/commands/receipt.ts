// aether receipt MIGRATION, aether receipt --verify FILE
import type { Receipt } from "@aether/contract/gen/aether/v2/migration_pb";
import type { ReceiptCheck } from "@aether/contract/receipt";
import type { Command } from "commander";
import { ExitWith } from "../exit-with.ts";
import { action, type Context, withCommon } from "../options.ts";

interface ReceiptFlags {
  /** true: the migration named; a text: a file. */
  readonly verify?: true | string;
  readonly output?: string;
  readonly trust?: string;
  readonly saveTrust?: string;
}

export function registerReceipt(program: Command): void {
  withCommon(program.command("receipt [migration]"))
    .description("what both nodes measured of a move, signed by both: digests, pause, packets, resets")
    .option("--verify [file]", "check signatures, digests and numbers again: of the migration, or of a saved file")
    .option("-o, --output <file>", "save the receipt, with everything that its verification needs but the trust bundle")
    .option("--trust <file>", "the trust bundle to check against, PEM; by default the control plane's")
    .option("--save-trust <file>", "save the control plane's trust bundle; keep it apart from receipts")
    .addHelpText(
      "after",
      `
Examples:
  $ aether receipt mig-…
  $ aether receipt mig-… --verify
  $ aether receipt mig-… -o receipt.json --save-trust trust.pem
  $ aether receipt --verify receipt.json --trust trust.pem       # needs no control plane`,
    )
    .action(
      action(async (context, named: string | undefined, flags: ReceiptFlags) => {
        const { fault } = await import("@aether/contract");
        // `--verify mig-…` names a migration, however it was written.
        const isMigration = typeof flags.verify === "string" && flags.verify.startsWith("mig-");
        const id = named ?? (isMigration ? String(flags.verify) : undefined);
        if (typeof flags.verify === "string" && !isMigration) return verifyFile(context, flags.verify, flags.trust);
        if (id === undefined)
          throw fault("INVALID_ARGUMENT", "which receipt? Name a migration, or a file with --verify", {
            field: "migration",
            hint: "aether migrations lists them.",
          });
        const { MigrationService, ReceiptSchema } = await import("@aether/contract/gen/aether/v2/migration_pb");
        const core = await context.core();
        const answer = await core.client(MigrationService).getReceipt({ id }, { signal: context.signal, timeoutMs: 15_000 });
        const { receipt } = answer;
        if (receipt === undefined)
          throw fault("MIGRATION_NOT_FOUND", `${id} has no receipt`, {
            field: "migration",
            hint: "aether migrations lists them.",
          });
        await save(context, receipt, answer.trustBundlePem, flags);
        if (flags.verify !== undefined)
          return say(context, receipt, await check(receipt, await trustOf(flags.trust, answer.trustBundlePem)));
        if (flags.output !== undefined) return;
        const { toPlain } = await import("../plain.ts");
        const { describeReceipt } = await import("../render/describe.ts");
        context.output.result(toPlain(ReceiptSchema, receipt), () => describeReceipt(receipt));
      }),
    );
}

async function save({ output }: Context, receipt: Receipt, trustBundlePem: string, flags: ReceiptFlags): Promise<void> {
  const { writeFile } = await import("node:fs/promises");
  const { receiptText } = await import("@aether/contract/receipt");
  if (flags.output !== undefined) {
    await writeFile(flags.output, `${receiptText(receipt)}\n`);
    output.say(`${flags.output}: check it with aether receipt --verify ${flags.output} --trust BUNDLE`);
  }
  if (flags.saveTrust !== undefined) await writeFile(flags.saveTrust, trustBundlePem);
}

async function verifyFile(context: Context, file: string, trustFile: string | undefined): Promise<void> {
  const { fault } = await import("@aether/contract");
  const { ReceiptSchema } = await import("@aether/contract/gen/aether/v2/migration_pb");
  const { receiptText } = await import("@aether/contract/receipt");
  const { fromJsonString } = await import("@bufbuild/protobuf");
  if (trustFile === undefined)
    throw fault("INVALID_ARGUMENT", "a saved receipt is checked against a trust bundle that you keep yourself", {
      field: "trust",
      hint: "Add --trust FILE. `aether receipt MIGRATION --save-trust FILE` saves the control plane's.",
    });
  const text = await readOrFault(file);
  let receipt: Receipt;
  try {
    receipt = fromJsonString(ReceiptSchema, text);
  } catch (cause) {
    throw fault("INVALID_ARGUMENT", `${file} is not a receipt: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  const isWritten = receiptText(receipt) === text.trimEnd();
  const form: ReceiptCheck = {
    name: "the file is as it was written",
    isPassed: isWritten,
    detail: isWritten ? "canonical JSON" : "it is not in canonical form: somebody has edited or formatted it",
  };
  return say(context, receipt, [form, ...(await check(receipt, await trustOf(trustFile, "")))]);
}

async function readOrFault(file: string): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  const { fault } = await import("@aether/contract");
  return readFile(file, "utf8").catch((cause: unknown) => {
    throw fault("INVALID_ARGUMENT", `${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  });
}

const trustOf = async (file: string | undefined, given: string): Promise<string> => (file === undefined ? given : readOrFault(file));

async function check(receipt: Receipt, trustBundlePem: string): Promise<ReceiptCheck[]> {
  const { verifyReceipt } = await import("@aether/contract/receipt");
  return verifyReceipt(receipt, trustBundlePem, globalThis.crypto.subtle);
}

/** Says each check; a failed one makes the command fail. */
async function say({ output }: Context, receipt: Receipt, checks: readonly ReceiptCheck[]): Promise<void> {
  const failed = checks.filter(({ isPassed }) => !isPassed);
  output.result({ migrationId: receipt.migrationId, isVerified: failed.length === 0, checks }, () =>
    [
      `receipt of ${receipt.migrationId}: ${receipt.workload}, ${receipt.sourceNodeId} to ${receipt.targetNodeId}`,
      ...checks.map((each) => `  ${each.isPassed ? "✓" : "✗"} ${each.name}: ${each.detail}`),
      failed.length === 0 ? "Verified." : `NOT VERIFIED: ${failed.map(({ name }) => name).join("; ")}`,
    ].join("\n"),
  );
  if (failed.length > 0) throw new ExitWith(1);
}
