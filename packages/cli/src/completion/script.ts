// Completion scripts, made from the command tree: static, so that a press of Tab starts no process.
import type { CommandWords } from "./words.ts";

export function completionScript(shell: "bash" | "zsh" | "fish", tree: readonly CommandWords[]): string {
  return shell === "bash" ? bash(tree) : shell === "zsh" ? zsh(tree) : fish(tree);
}

const wordsOf = (command: CommandWords) =>
  [...command.subcommands.map((sub) => sub.name), ...command.options.map((option) => option.flag)].join(" ");

function bash(tree: readonly CommandWords[]): string {
  const cases = tree.map((command) => `    ${quote(command.path)}) words=${quote(wordsOf(command))} ;;`);
  const choices = tree.flatMap((command) =>
    command.options
      .filter((option) => option.choices.length > 0)
      .map((option) => `    ${quote(`${command.path} ${option.flag}`)}) words=${quote(option.choices.join(" "))} ;;`),
  );
  return `# bash completion for aether
_aether() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" path="" words="" word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    [[ "$word" == -* ]] && continue
    case " ${tree.map((command) => command.path.replaceAll(" ", "/")).join(" ")} " in *" \${path:+$path/}$word "*) path="\${path:+$path/}$word" ;; esac
  done
  path="\${path//\\// }"
  case "$path $previous" in
${choices.join("\n")}
  esac
  if [[ -z "$words" ]]; then
    case "$path" in
${cases.join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _aether aether
`;
}

function zsh(tree: readonly CommandWords[]): string {
  const described = (command: CommandWords) =>
    [
      ...command.subcommands.map((sub) => quote(`${sub.name}:${sub.description.replaceAll(":", "\\:")}`)),
      ...command.options.map((option) => quote(`${option.flag}:${option.description.replaceAll(":", "\\:")}`)),
    ].join(" ");
  const cases = tree.map((command) => `    ${quote(command.path)}) items=(${described(command)}) ;;`);
  const paths = tree.filter((command) => command.path !== "").map((command) => quote(command.path));
  return `#compdef aether
_aether() {
  local path="" word; local -a items paths
  paths=(${paths.join(" ")})
  for word in "\${words[@]:1:$((CURRENT - 2))}"; do
    (( \${paths[(Ie)\${path:+$path }$word]} )) && path="\${path:+$path }$word"
  done
  case "$path" in
${cases.join("\n")}
  esac
  _describe 'aether' items || _files
}
if [ "$funcstack[1]" = "_aether" ]; then _aether "$@"; else compdef _aether aether; fi
`;
}

function fish(tree: readonly CommandWords[]): string {
  const lines = tree.flatMap((command) => {
    const parts = command.path === "" ? [] : command.path.split(" ");
    const inside = parts.length === 0 ? "__fish_use_subcommand" : parts.map((part) => `__fish_seen_subcommand_from ${part}`).join("; and ");
    return [
      ...command.subcommands.map((sub) => `complete -c aether -f -n ${quote(inside)} -a ${sub.name} -d ${quote(sub.description)}`),
      ...(parts.length === 0 ? [] : command.options).map(
        (option) =>
          `complete -c aether -n ${quote(inside)} -l ${option.flag.slice(2)}${option.takesValue ? " -r" : ""}` +
          `${option.choices.length > 0 ? ` -f -a ${quote(option.choices.join(" "))}` : ""} -d ${quote(option.description)}`,
      ),
    ];
  });
  return `# fish completion for aether\n${lines.join("\n")}\n`;
}

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
