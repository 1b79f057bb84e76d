// Imported first by each program here: with --help it prints the program's own first comment, which says what it measures and with which options, and ends.
import { readFileSync } from "node:fs";

const program = process.argv[1];
if (program !== undefined && process.argv.slice(2).some((word) => word === "--help" || word === "-h")) {
  const lines = readFileSync(program, "utf8").split("\n");
  const end = lines.findIndex((line) => !line.startsWith("//"));
  process.stdout.write(
    `${lines
      .slice(0, end)
      .join("\n")
      .replace(/^\/\/ ?/gm, "")}\n`,
  );
  process.exit(0);
}
