// Does anybody still read what a workload writes? Its shim does, as two processes of which either may be killed; without both, its next line may end it.
import { readdirSync, readlinkSync } from "node:fs";
import type { Finding } from "../engine.ts";
import { readProc, statOf } from "../runtime/process.ts";

/** What is on record of a workload that runs here (record.ts). */
interface Written {
  readonly spec: { readonly name: string };
  readonly pid?: number | undefined;
  readonly stdio?: { readonly stdout: number; readonly stderr: number } | undefined;
}

/** What its descriptors lead to, as /proc names it; nothing of a process that has gone. */
function openOf(pid: number | string, fds?: readonly string[]): string[] {
  try {
    return (fds ?? readdirSync(`/proc/${pid}/fd`)).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  } catch {
    return [];
  }
}

const isShim = async (pid: number | string): Promise<boolean> => (await readProc(Number(pid), "comm"))?.startsWith("aether-shim") ?? false;

export async function outputFindings({ spec, pid, stdio }: Written): Promise<Finding[]> {
  if (pid === undefined || stdio === undefined) return [];
  const pipes = [`pipe:[${stdio.stdout}]`, `pipe:[${stdio.stderr}]`];
  if (!openOf(pid, ["1", "2"]).some((link) => pipes.includes(link))) return []; // it has put something else there
  // Nearly always its parent is the one. Where a shim was killed twice it need not be: then whoever has the pipes is looked for.
  const parent = (await statOf(pid))?.parent;
  if (parent === undefined || (await isShim(parent))) return [];
  for (const other of readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
    if ((await isShim(other)) && openOf(other).some((link) => pipes.includes(link))) return [];
  return [
    {
      code: "OUTPUT_UNREAD",
      message: "nobody reads its output any more: both processes of its shim were killed, and the next line that it writes may end it",
      mend: "Move it, or start it anew: both give it a new shim.",
      subject: spec.name,
    },
  ];
}
