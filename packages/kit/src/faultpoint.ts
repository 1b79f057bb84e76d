// Named places in the shipping code where a test or a drill may make a process fail. Off unless armed.
// Armed by AETHER_FAULTS="freeze.after_dump=kill,restore.before=delay:500,copy.half=error" or by `armFaultpoint` in a test.
// With AETHER_FAULTS_LIVE set, points are armed while the process runs: a file DIR/PROCESS/NAME holds the action; it is taken, and so fires once.
// With AETHER_FAULTS_DIR set, a point fires once for ever: a file of its name is made there first, so that a restarted process passes it.
import { closeSync, openSync, readFileSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { isErrno } from "./command.ts";
import { sleep } from "./wait.ts";

export type FaultAction = { kind: "kill" } | { kind: "stop" } | { kind: "error" } | { kind: "delay"; ms: number };

const armed = new Map<string, FaultAction>(parseFaults(process.env.AETHER_FAULTS ?? ""));
const passed = new Set<string>();
const liveDir =
  process.env.AETHER_FAULTS_LIVE === undefined ? undefined : join(process.env.AETHER_FAULTS_LIVE, process.env.AETHER_PROCESS ?? "any");

/** Parses "name=kill|stop|error|delay:MS,…". Throws CONFIG_INVALID. */
export function parseFaults(text: string): [string, FaultAction][] {
  return text
    .split(",")
    .filter((part) => part !== "")
    .map((part) => {
      const match = /^([a-z0-9_.]+)=(?:(kill|stop|error)|delay:(\d{1,6}))$/.exec(part);
      if (!match?.[1]) throw fault("CONFIG_INVALID", `AETHER_FAULTS: cannot read ${JSON.stringify(part)}`, { field: "AETHER_FAULTS" });
      const action: FaultAction = match[3] ? { kind: "delay", ms: Number(match[3]) } : { kind: match[2] as "kill" | "stop" | "error" };
      return [match[1], action];
    });
}

/** Arms a point in this process; the answer disarms it. */
export function armFaultpoint(name: string, action: FaultAction): () => void {
  armed.set(name, action);
  return () => armed.delete(name);
}

/** Passes at once unless armed. `kill` and `stop` hit this very process; `error` throws INTERNAL; `delay` waits. */
export async function faultpoint(name: string): Promise<void> {
  if (armed.size === 0 && liveDir === undefined) return;
  const action = takeLive(name) ?? armed.get(name);
  if (action === undefined || !isFirstTime(name)) return;
  if (action.kind === "kill") process.kill(process.pid, "SIGKILL");
  if (action.kind === "stop") process.kill(process.pid, "SIGSTOP");
  if (action.kind === "error") throw fault("INTERNAL", `fault point ${name}`);
  if (action.kind === "delay") await sleep(action.ms);
  else await sleep(50); // a signal to oneself is delivered soon, not at once
}

function takeLive(name: string): FaultAction | undefined {
  if (liveDir === undefined) return undefined;
  const file = join(liveDir, name);
  try {
    const [entry] = parseFaults(`${name}=${readFileSync(file, "utf8").trim()}`);
    unlinkSync(file);
    return entry?.[1];
  } catch (caught) {
    if (isErrno(caught, "ENOENT")) return undefined;
    throw caught;
  }
}

function isFirstTime(name: string): boolean {
  const dir = process.env.AETHER_FAULTS_DIR;
  if (dir === undefined) return true;
  if (passed.has(name)) return false;
  passed.add(name);
  try {
    closeSync(openSync(join(dir, name), "wx"));
    return true;
  } catch (caught) {
    if (isErrno(caught, "EEXIST")) return false;
    throw caught;
  }
}
