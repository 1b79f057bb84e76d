// aether account list|create|link|remove
import type { Account } from "@aether/contract/gen/aether/v2/account_pb";
import { type Command, Option } from "commander";
import { action, wholeNumber, withCommon } from "../options.ts";

const roles = { viewer: 2, operator: 3, admin: 4 } as const;

export function registerAccount(program: Command): void {
  const account = program.command("account").description("people who sign in to the dashboard");
  withCommon(account.command("list"))
    .description("list accounts")
    .addHelpText("after", "\nExamples:\n  $ aether account list")
    .action(
      action(async ({ core, output, signal }) => {
        const { AccountService, ListAccountsResponseSchema } = await import("@aether/contract/gen/aether/v2/account_pb");
        const { Role } = await import("@aether/contract");
        const { toPlain } = await import("../plain.ts");
        const { renderTable } = await import("../render/table.ts");
        const { ago, word } = await import("../render/units.ts");
        const { everyPage } = await import("../pages.ts");
        const client = (await core()).client(AccountService);
        const accounts: Account[] = await everyPage(async (page) => {
          const answer = await client.listAccounts({ page }, { signal, timeoutMs: 15_000 });
          return { items: answer.accounts, nextPageToken: answer.nextPageToken };
        });
        const nowMs = Date.now();
        output.result(toPlain(ListAccountsResponseSchema, { accounts }), () =>
          renderTable(
            accounts,
            [
              { title: "NAME", cell: (each) => each.name },
              { title: "ROLE", cell: (each) => word(Role, each.role) },
              { title: "SIGNS IN BY", cell: (each) => each.issuer || (each.hasPassword ? "password" : "link") },
              { title: "LAST", cell: (each) => ago(each.signedInAt, nowMs) },
              { title: "", cell: (each) => (each.isDisabled ? "disabled" : "") },
            ],
            output.width,
            "Nobody has an account. Make one: aether account create NAME --role admin",
          ),
        );
      }),
    );
  withCommon(account.command("create <name>"))
    .description("make an account without a password; its owner comes in by the link that is printed")
    .addOption(new Option("--role <role>", "what it may do").choices(Object.keys(roles)).makeOptionMandatory())
    .addHelpText("after", "\nExamples:\n  $ aether account create ada --role operator")
    .action(
      action(async ({ core, output, signal }, name: string, options: { role: keyof typeof roles }) => {
        const { AccountService } = await import("@aether/contract/gen/aether/v2/account_pb");
        const { url, client } = await core();
        const accounts = client(AccountService);
        await accounts.createAccount({ name, role: roles[options.role] }, { signal, timeoutMs: 15_000 });
        const { secret } = await accounts.createSignInLink({ name }, { signal, timeoutMs: 15_000 });
        const link = `${url}/sign-in#${secret}`;
        output.say("the link signs one browser in, once, within the hour");
        output.result({ name, role: options.role, link }, () => link);
      }),
    );
  withCommon(account.command("link <name>"))
    .description("a link that signs one browser in as this account, once")
    .option("--valid <seconds>", "how long; by default one hour", wholeNumber(60, 7 * 86_400))
    .addHelpText("after", "\nExamples:\n  $ aether account link ada")
    .action(
      action(async ({ core, output, signal }, name: string, options: { valid?: number }) => {
        const { AccountService } = await import("@aether/contract/gen/aether/v2/account_pb");
        const { url, client } = await core();
        const { secret } = await client(AccountService).createSignInLink(
          { name, validSeconds: options.valid ?? 0 },
          { signal, timeoutMs: 15_000 },
        );
        const link = `${url}/sign-in#${secret}`;
        output.result({ name, link }, () => link);
      }),
    );
  withCommon(account.command("remove <name>"))
    .description("remove an account; its sessions end at once")
    .addHelpText("after", "\nExamples:\n  $ aether account remove ada")
    .action(
      action(async ({ core, output, signal }, name: string) => {
        const { AccountService } = await import("@aether/contract/gen/aether/v2/account_pb");
        await (await core()).client(AccountService).deleteAccount({ name }, { signal, timeoutMs: 15_000 });
        output.result({ name, isRemoved: true }, () => `${name} is removed`);
      }),
    );
}
