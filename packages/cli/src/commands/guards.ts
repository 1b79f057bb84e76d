// aether guards [pause|resume|windows]
import type { Guards } from "@aether/contract/gen/aether/v2/guard_pb";
import type { Command } from "commander";
import { action, withCommon } from "../options.ts";

export function registerGuards(program: Command): void {
  const guards = withCommon(program.command("guards"))
    .description("guard rails of moves: the kill switch, maintenance windows, who rests, which pairs of nodes are not used")
    .addHelpText(
      "after",
      "\nExamples:\n  $ aether guards\n  $ aether guards pause --reason 'switch replaced tonight'   # nothing moves by itself, not even on a notice" +
        "\n  $ aether guards resume\n  $ aether guards windows fri,sat@22:00-04:00                 # when moves that nothing forces may happen\n  $ aether guards windows --none",
    )
    .action(
      action(async ({ core, output, signal }) => {
        const { GuardService, GuardsSchema } = await import("@aether/contract/gen/aether/v2/guard_pb");
        const { toPlain } = await import("../plain.ts");
        const { describeGuards } = await import("../render/guards.ts");
        const { guards: now } = await (await core()).client(GuardService).getGuards({}, { signal, timeoutMs: 15_000 });
        output.result(toPlain(GuardsSchema, now ?? {}), () => (now ? describeGuards(now, Date.now()) : ""));
      }),
    );
  withCommon(guards.command("pause"))
    .description("the kill switch: nothing moves by itself until `aether guards resume`; what a person starts still does")
    .option("--reason <text>", "shown to everybody who asks why nothing moves", "")
    .addHelpText(
      "after",
      "\nMoves under way go on: stopping them halfway helps nobody.\n\nExamples:\n  $ aether guards pause --reason 'incident 12'",
    )
    .action(
      action(async (context, options: { reason: string }) => {
        await say(
          context,
          (client, call) => client.pauseMoves({ reason: options.reason }, call),
          () => "Nothing moves by itself now, not even on a notice. Go on: aether guards resume",
        );
      }),
    );
  withCommon(guards.command("resume"))
    .description("the kill switch off: moves happen again, also those that a notice still in force asks for")
    .addHelpText("after", "\nExamples:\n  $ aether guards resume")
    .action(
      action(async (context) =>
        say(
          context,
          (client, call) => client.resumeMoves({}, call),
          () => "Moves happen again",
        ),
      ),
    );
  withCommon(guards.command("windows [window...]"))
    .description("set the weekly windows (UTC) in which moves that nothing forces may happen; a notice is always answered")
    .option("--none", "remove all windows: it is always time")
    .addHelpText("after", "\nExamples:\n  $ aether guards windows fri,sat@22:00-04:00 sun@00:00-23:59\n  $ aether guards windows --none")
    .action(
      action(async (context, texts: string[], options: { none?: boolean }) => {
        const { fault } = await import("@aether/contract");
        const { parseWindow, wantedWindow } = await import("../window-flag.ts");
        if (texts.length === 0 && options.none !== true)
          throw fault("INVALID_ARGUMENT", "give at least one window, or --none", { field: "window", hint: wantedWindow });
        const windows = texts.map(parseWindow);
        await say(
          context,
          (client, call) => client.setMaintenanceWindows({ windows }, call),
          (now) =>
            now.windows.length === 0
              ? "No window is set: it is always time"
              : `${now.windows.length} ${now.windows.length === 1 ? "window is" : "windows are"} set; it is ${now.isInWindow ? "" : "not "}time now`,
        );
      }),
    );
}

type Call = { readonly signal: AbortSignal; readonly timeoutMs: number };
type Client = import("@connectrpc/connect").Client<typeof import("@aether/contract/gen/aether/v2/guard_pb").GuardService>;

async function say(
  { core, output, signal }: import("../options.ts").Context,
  ask: (client: Client, call: Call) => Promise<{ readonly guards?: Guards | undefined }>,
  tell: (guards: Guards) => string,
): Promise<void> {
  const { GuardService, GuardsSchema } = await import("@aether/contract/gen/aether/v2/guard_pb");
  const { toPlain } = await import("../plain.ts");
  const { guards } = await ask((await core()).client(GuardService), { signal, timeoutMs: 15_000 });
  output.result(toPlain(GuardsSchema, guards ?? {}), () => (guards ? tell(guards) : ""));
}
