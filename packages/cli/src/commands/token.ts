// aether token create|list|revoke
import type { Token } from "@aether/contract/gen/aether/v2/access_pb";
import { type Command, Option } from "commander";
import { action, wholeNumber, withCommon } from "../options.ts";

const roles = { viewer: 2, operator: 3, admin: 4, agent: 5 } as const;

export function registerToken(program: Command): void {
  const token = program.command("token").description("credentials of people, programs and new nodes");
  withCommon(token.command("create"))
    .description("make a credential; its secret is shown once. An agent's is a join token: it works once")
    .addOption(new Option("--role <role>", "what it may do").choices(Object.keys(roles)).makeOptionMandatory())
    .option("--name <name>", "for the list and the audit", "")
    .option("--valid <seconds>", "how long; by default 90 days, for an agent 1 hour", wholeNumber(60, 10 * 365 * 86_400))
    .addHelpText("after", "\nExamples:\n  $ aether token create --role agent\n  $ aether token create --role viewer --name grafana --json")
    .action(
      action(async ({ core, output, signal }, options: { role: keyof typeof roles; name: string; valid?: number }) => {
        const { AccessService, CreateTokenResponseSchema } = await import("@aether/contract/gen/aether/v2/access_pb");
        const { toPlain } = await import("../plain.ts");
        const request = { name: options.name || options.role, role: roles[options.role], validSeconds: options.valid ?? 0 };
        const answer = await (await core()).client(AccessService).createToken(request, { signal, timeoutMs: 15_000 });
        output.say(`${answer.token?.id}: keep the secret, it is not shown again`);
        output.result(toPlain(CreateTokenResponseSchema, answer), () => answer.secret);
      }),
    );
  withCommon(token.command("list").alias("ls"))
    .description("list credentials, without their secrets")
    .addHelpText("after", "\nExamples:\n  $ aether token list")
    .action(
      action(async ({ core, output, signal }) => {
        const { AccessService, ListTokensResponseSchema } = await import("@aether/contract/gen/aether/v2/access_pb");
        const { Role } = await import("@aether/contract");
        const { toPlain } = await import("../plain.ts");
        const { renderTable } = await import("../render/table.ts");
        const { ago, instant, word } = await import("../render/units.ts");
        const { everyPage } = await import("../pages.ts");
        const client = (await core()).client(AccessService);
        const tokens: Token[] = await everyPage(async (page) => {
          const answer = await client.listTokens({ page }, { signal, timeoutMs: 15_000 });
          return { items: answer.tokens, nextPageToken: answer.nextPageToken };
        });
        const nowMs = Date.now();
        output.result(toPlain(ListTokensResponseSchema, { tokens }), () =>
          renderTable(
            tokens,
            [
              { title: "ID", cell: (t) => t.id },
              { title: "NAME", cell: (t) => t.name },
              { title: "ROLE", cell: (t) => word(Role, t.role) },
              { title: "MADE", cell: (t) => ago(t.createdAt, nowMs) },
              { title: "EXPIRES", cell: (t) => instant(t.expiresAt).slice(0, 16) },
              { title: "USED", cell: (t) => ago(t.usedAt, nowMs) },
              { title: "", cell: (t) => (t.isRevoked ? "revoked" : "") },
            ],
            output.width,
            "There is no token. Make one: aether token create --role viewer",
          ),
        );
      }),
    );
  withCommon(token.command("revoke <id>"))
    .description("end a credential at once")
    .addHelpText("after", "\nExamples:\n  $ aether token revoke tok-…")
    .action(
      action(async ({ core, output, signal }, id: string) => {
        const { AccessService } = await import("@aether/contract/gen/aether/v2/access_pb");
        await (await core()).client(AccessService).revokeToken({ id }, { signal, timeoutMs: 15_000 });
        output.result({ id, isRevoked: true }, () => `${id} is revoked`);
      }),
    );
}
