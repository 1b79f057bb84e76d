// aether completion bash|zsh|fish
import { Argument, type Command } from "commander";
import { withoutHidden } from "../completion/words.ts";

export function registerCompletion(program: Command): void {
  program
    .command("completion")
    .description("completion for a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(["bash", "zsh", "fish"]))
    .addHelpText(
      "after",
      `
Examples:
  $ source <(aether completion bash)
  $ aether completion zsh > "\${fpath[1]}/_aether"
  $ aether completion fish > ~/.config/fish/completions/aether.fish`,
    )
    .action(async (shell: "bash" | "zsh" | "fish") => {
      const { completionScript } = await import("../completion/script.ts");
      process.stdout.write(completionScript(shell, withoutHidden(program)));
    });
}
