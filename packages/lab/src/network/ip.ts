// iproute2 as a library: each call has a deadline, says what it wanted, and treats "is there already" and "is gone already" as done.
import { run } from "@aether/kit";

const callMs = 10_000;

/** Runs `ip ARGS`, in a namespace where one is named. Throws TOOL_FAILED with ip's own words. */
export async function ip(args: readonly string[], namespace?: string): Promise<string> {
  const scope = namespace === undefined ? [] : ["-n", namespace];
  return (await run("ip", [...scope, ...args], { deadlineMs: callMs })).stdout;
}

/** As `ip`, but answers false instead of throwing when the thing is not there (or is there already). */
export async function tryIp(args: readonly string[], namespace?: string): Promise<boolean> {
  const scope = namespace === undefined ? [] : ["-n", namespace];
  return (await run("ip", [...scope, ...args], { deadlineMs: callMs, okCodes: [0, 1, 2, 255] })).code === 0;
}

/** Many commands for one namespace in one process (`ip -batch -`): a node takes one call in place of ten. */
export async function ipBatch(commands: readonly (readonly string[])[], namespace: string): Promise<void> {
  if (commands.some((words) => words.some((word) => /\s/.test(word)))) throw new Error("a word of an ip batch holds a space");
  await run("ip", ["-n", namespace, "-batch", "-"], {
    deadlineMs: callMs,
    input: `${commands.map((words) => words.join(" ")).join("\n")}\n`,
  });
}

/** Names under /run/netns that the rule takes. */
export async function namespacesOf(isOurs: (name: string) => boolean): Promise<string[]> {
  const text = (await run("ip", ["-json", "netns", "list"], { deadlineMs: callMs })).stdout.trim();
  if (text === "") return [];
  const parsed: unknown = JSON.parse(text);
  if (!Array.isArray(parsed)) return [];
  return parsed
    .flatMap((entry: unknown) =>
      typeof entry === "object" && entry !== null && "name" in entry && typeof entry.name === "string" ? [entry.name] : [],
    )
    .filter(isOurs);
}

/** Writes kernel settings below /proc/sys/net as a process inside the namespace sees them (by `tee`: sysctl(8) is not on every machine). */
export async function setKernelNetwork(namespace: string, values: Readonly<Record<string, readonly string[]>>): Promise<void> {
  for (const [value, keys] of Object.entries(values)) {
    const files = keys.map((key) => `/proc/sys/net/${key}`);
    await run("nsenter", [`--net=/run/netns/${namespace}`, "tee", ...files], { deadlineMs: callMs, input: value });
  }
}
