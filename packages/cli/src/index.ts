export { runCommandLine } from "./command-line.ts";
export { exitCodeOf } from "./exit-code.ts";
