// aether doctor
import { type Command, Option } from "commander";
import { ExitWith } from "../exit-with.ts";
import { type Target, targets } from "../machine-checks.ts";
import { action, withCommon } from "../options.ts";

export function registerDoctor(program: Command): void {
  withCommon(program.command("doctor"))
    .description("is this machine fit? what was looked at, why it matters, how to mend it")
    .addOption(new Option("--target <target>", "fit for what").choices(targets).default("local"))
    .option("--port <port>", "the port of the page that should be free", Number, 3000)
    .addHelpText("after", "\nExamples:\n  $ aether doctor\n  $ sudo aether doctor --target agent --json")
    .action(
      action(async (context, options: { target: Target; port: number; url?: string }) => {
        const { doctorChecks } = await import("../doctor-checks.ts");
        const { runChecks } = await import("@aether/kit");
        const { renderChecks } = await import("../render/checks.ts");
        const { output, signal } = context;
        const checks = await doctorChecks(context, options);
        const reports = await runChecks(checks, signal);
        const failed = reports.filter((report) => report.status === "fail");
        output.result({ target: options.target, isFit: failed.length === 0, checks: reports }, () => renderChecks(reports, options.target));
        if (failed.length > 0) throw new ExitWith(3);
      }),
    );
}
