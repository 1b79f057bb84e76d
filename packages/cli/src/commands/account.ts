// aether account list|show|create|set|link|remove
import type { Account } from "@aether/contract/gen/aether/v2/account_pb";
import { type Command, Option } from "commander";
import { ifMatch, ifMatchOption, readTagged } from "../if-match.ts";
import { action, type Context, wholeNumber, withCommon } from "../options.ts";

const roles = { viewer: 2, operator: 3, admin: 4 } as const;

export function registerAccount(program: Command): void {
  const account = program.command("account").description("people who sign in to the dashboard");
  withCommon(account.command("list").alias("ls"))
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
  withCommon(account.command("show <name>"))
    .description("one account, with the ETag that `set --if-match` takes")
    .addHelpText("after", "\nExamples:\n  $ aether account show ada")
    .action(
      action(async ({ core, output, signal }, name: string) => {
        const { AccountSchema, AccountService } = await import("@aether/contract/gen/aether/v2/account_pb");
        const { toPlain } = await import("../plain.ts");
        const client = (await core()).client(AccountService);
        const { answer, tag } = await readTagged((tagged) => client.getAccount({ name }, { signal, timeoutMs: 15_000, ...tagged }));
        const said = await describe(answer.account);
        output.result({ account: toPlain(AccountSchema, answer.account ?? {}), etag: tag }, () => `${said}\netag     ${tag}`);
      }),
    );
  withCommon(account.command("set <name>"))
    .description("change what it may do, or lock it out; refused where somebody else changes it in the same moment")
    .addOption(new Option("--role <role>", "what it may do").choices(Object.keys(roles)))
    .option("--disable", "it cannot sign in any more; its sessions end at once")
    .option("--enable", "it can sign in again")
    .addOption(ifMatchOption())
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether account set ada --role viewer\n  $ aether account set ada --disable --if-match '\"…\"'   # the ETag of: aether account show ada",
    )
    .action(action(set));
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
  withCommon(account.command("remove <name>").alias("rm"))
    .description("remove an account; its sessions end at once")
    .addOption(ifMatchOption())
    .addHelpText("after", "\nExamples:\n  $ aether account remove ada")
    .action(
      action(async ({ core, output, signal }, name: string, flags: { ifMatch?: string }) => {
        const { AccountService } = await import("@aether/contract/gen/aether/v2/account_pb");
        await (await core()).client(AccountService).deleteAccount({ name }, { signal, timeoutMs: 15_000, ...ifMatch(flags.ifMatch) });
        output.result({ name, isRemoved: true }, () => `${name} is removed`);
      }),
    );
}

interface SetFlags {
  readonly role?: keyof typeof roles;
  readonly disable?: true;
  readonly enable?: true;
  readonly ifMatch?: string;
}

async function set({ core, output, signal }: Context, name: string, { role, disable, enable, ifMatch: wanted }: SetFlags): Promise<void> {
  const { fault } = await import("@aether/contract");
  const { AccountSchema, AccountService } = await import("@aether/contract/gen/aether/v2/account_pb");
  const { toPlain } = await import("../plain.ts");
  if (disable && enable) throw fault("INVALID_ARGUMENT", "--disable and --enable are opposites", { field: "disable" });
  if (role === undefined && !disable && !enable)
    throw fault("INVALID_ARGUMENT", "say what to change", { field: "name", hint: "--role, --disable or --enable." });
  const client = (await core()).client(AccountService);
  const call = { signal, timeoutMs: 15_000 };
  const before = await readTagged((tagged) => client.getAccount({ name }, { ...call, ...tagged }));
  const change = {
    name,
    ...(role === undefined ? {} : { role: roles[role] }),
    ...(disable || enable ? { isDisabled: disable === true } : {}),
  };
  const { account } = await client.updateAccount(change, { ...call, ...ifMatch(wanted ?? before.tag) });
  const [was, is] = [await describe(before.answer.account), await describe(account)];
  output.result(toPlain(AccountSchema, account ?? {}), () =>
    was === is ? `${name} was so already\n${is}` : `before:\n${was}\nnow:\n${is}`,
  );
}

async function describe(account: Account | undefined): Promise<string> {
  const { Role } = await import("@aether/contract");
  const { renderFacts } = await import("../render/table.ts");
  const { instant, word } = await import("../render/units.ts");
  if (account === undefined) return "";
  return renderFacts([
    ["account", account.name],
    ["role", word(Role, account.role)],
    ["state", account.isDisabled ? "disabled" : "may sign in"],
    ["by", account.issuer || (account.hasPassword ? "password" : "link")],
    ["last in", account.signedInAt === undefined ? "" : instant(account.signedInAt)],
  ]);
}
