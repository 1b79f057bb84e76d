// aether policy set|preview|ls|show|rm|of
import type { Policy } from "@aether/contract/gen/aether/v2/policy_pb";
import type { Command } from "commander";
import { action, type Context, wholeNumber, withCommon } from "../../options.ts";
import { type PolicyFlags, policyOf, withPolicyFlags } from "./flags.ts";

const deadline = 15_000;

export function registerPolicy(program: Command): void {
  const policy = program.command("policy").description("settings for the workloads that their labels choose");
  policy.addHelpText(
    "after",
    "\nWhat a workload's own spec says stands above policies, and they above the defaults. Of two policies the higher rank counts, then the one with" +
      "\nmore labels, then the first by name.\n\nExamples:\n  $ aether policy set databases --label tier=db --priority 90 --rpo 5m --on-node-lost restore\n  $ aether policy of db",
  );
  withPolicyFlags(withCommon(policy.command("set <name>")))
    .description("make a policy, or a new version of it with exactly these settings; counts from the next decision on")
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether policy set databases --label tier=db --priority 90 --rpo 5m --on-node-lost restore" +
        "\n  $ aether policy set nightly --window 22:00-04:00 --description 'early moves only at night'   # every workload" +
        "\n  $ aether policy set strict --label tier=db --label env=prod --max-freeze 500ms --rank 10",
    )
    .action(
      action(async ({ core, output, signal }, name: string, flags: PolicyFlags) => {
        const { PolicySchema, PolicyService } = await import("@aether/contract/gen/aether/v2/policy_pb");
        const { toPlain } = await import("../../plain.ts");
        const wanted = await policyOf(name, flags);
        const { policy: made } = await (await core()).client(PolicyService).setPolicy({ policy: wanted }, { signal, timeoutMs: deadline });
        output.result(
          toPlain(PolicySchema, made ?? {}),
          () =>
            `${name} is in force, version ${made?.version}, for ${countOf(made?.workloads ?? [])}\nWhat counts now: aether policy of WORKLOAD`,
        );
      }),
    );
  withPolicyFlags(withCommon(policy.command("preview <name>")))
    .description("what would change for which workload, if it was set; nothing is stored")
    .addHelpText("after", "\nExamples:\n  $ aether policy preview databases --label tier=db --priority 90")
    .action(action(preview));
  withCommon(policy.command("ls").alias("list"))
    .description("those in force")
    .addHelpText("after", "\nExamples:\n  $ aether policy ls")
    .action(action(list));
  withCommon(policy.command("show <name>"))
    .description("one policy in force, or as a version of it said")
    .option("--at <version>", "an older version", wholeNumber(1, 1_000_000))
    .option("--versions", "all versions, the newest first; also of a policy that is deleted")
    .addHelpText("after", "\nExamples:\n  $ aether policy show databases\n  $ aether policy show databases --versions")
    .action(action(show));
  withCommon(policy.command("rm <name>"))
    .description("its workloads are no longer under it; its versions stay readable")
    .addHelpText("after", "\nExamples:\n  $ aether policy rm databases")
    .action(
      action(async ({ core, output, signal }, name: string) => {
        const { PolicyService } = await import("@aether/contract/gen/aether/v2/policy_pb");
        await (await core()).client(PolicyService).deletePolicy({ name }, { signal, timeoutMs: deadline });
        output.result({ deleted: name }, () => `${name} is deleted; its versions: aether policy show ${name} --versions`);
      }),
    );
  withCommon(policy.command("of <workload>"))
    .description("every setting of a workload as it counts now, and where it comes from")
    .addHelpText("after", "\nExamples:\n  $ aether policy of db")
    .action(action(of));
}

const countOf = (workloads: readonly string[]) =>
  workloads.length === 0
    ? "no workload yet: none has its labels"
    : `${workloads.length} ${workloads.length === 1 ? "workload" : "workloads"}: ${workloads.slice(0, 5).join(", ")}${workloads.length > 5 ? ", …" : ""}`;

async function preview({ core, output, signal }: Context, name: string, flags: PolicyFlags): Promise<void> {
  const { PolicyService, PreviewPolicyResponseSchema } = await import("@aether/contract/gen/aether/v2/policy_pb");
  const { toPlain } = await import("../../plain.ts");
  const { renderTable } = await import("../../render/table.ts");
  const wanted = await policyOf(name, flags);
  const answer = await (await core()).client(PolicyService).previewPolicy({ policy: wanted }, { signal, timeoutMs: deadline });
  output.result(toPlain(PreviewPolicyResponseSchema, answer), () =>
    [
      renderTable(
        answer.effects,
        [
          { title: "WORKLOAD", cell: (effect) => effect.workload },
          { title: "SETTING", cell: (effect) => effect.setting },
          { title: "BEFORE", cell: (effect) => effect.before },
          { title: "AFTER", cell: (effect) => effect.after },
        ],
        output.width,
        "Nothing would change now.",
      ),
      ...answer.warnings.map((warning) => `warning: ${warning}`),
    ].join("\n"),
  );
}

async function list({ core, output, signal }: Context): Promise<void> {
  const { ListPoliciesResponseSchema, PolicyService } = await import("@aether/contract/gen/aether/v2/policy_pb");
  const { toPlain } = await import("../../plain.ts");
  const { everyPage } = await import("../../pages.ts");
  const client = (await core()).client(PolicyService);
  const policies = await everyPage(async (page) => {
    const answer = await client.listPolicies({ page }, { signal, timeoutMs: deadline });
    return { items: answer.policies, nextPageToken: answer.nextPageToken };
  });
  const { renderPolicies } = await import("../../render/policy.ts");
  output.result(toPlain(ListPoliciesResponseSchema, { policies }), () =>
    renderPolicies(policies, output.width, "There is no policy. Make one: aether policy set databases --label tier=db --priority 90"),
  );
}

async function show({ core, output, signal }: Context, name: string, flags: { at?: number; versions?: true }): Promise<void> {
  const { ListPolicyVersionsResponseSchema, PolicySchema, PolicyService } = await import("@aether/contract/gen/aether/v2/policy_pb");
  const { toPlain } = await import("../../plain.ts");
  const { describePolicy, renderPolicies } = await import("../../render/policy.ts");
  const client = (await core()).client(PolicyService);
  if (flags.versions !== true) {
    const { policy } = await client.getPolicy({ name, version: flags.at ?? 0 }, { signal, timeoutMs: deadline });
    return output.result(toPlain(PolicySchema, policy ?? {}), () => (policy === undefined ? "" : describePolicy(policy)));
  }
  const { everyPage } = await import("../../pages.ts");
  const policies: Policy[] = await everyPage(async (page) => {
    const answer = await client.listPolicyVersions({ name, page }, { signal, timeoutMs: deadline });
    return { items: answer.policies, nextPageToken: answer.nextPageToken };
  });
  output.result(toPlain(ListPolicyVersionsResponseSchema, { policies }), () => renderPolicies(policies, output.width, ""));
}

async function of({ core, output, signal }: Context, workload: string): Promise<void> {
  const { GetWorkloadPolicyResponseSchema, PolicyService } = await import("@aether/contract/gen/aether/v2/policy_pb");
  const { toPlain } = await import("../../plain.ts");
  const { renderTable } = await import("../../render/table.ts");
  const answer = await (await core()).client(PolicyService).getWorkloadPolicy({ workload }, { signal, timeoutMs: deadline });
  output.result(toPlain(GetWorkloadPolicyResponseSchema, answer), () =>
    [
      renderTable(
        answer.settings,
        [
          { title: "SETTING", cell: (setting) => setting.name },
          { title: "VALUE", cell: (setting) => setting.value },
          { title: "FROM", cell: (setting) => setting.source },
        ],
        output.width,
        "",
      ),
      answer.policies.length === 0 ? "No policy has its labels." : `Policies, the strongest first: ${answer.policies.join(", ")}`,
    ].join("\n"),
  );
}
