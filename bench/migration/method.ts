// One move by one method: the product's modes on a redis that stays and goes there and back, the others on one of their own each time.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { run } from "@aether/kit";
import { type BareOptions, type Measured, measureBare } from "../first-migration/bare.ts";
import type { Hosts } from "../first-migration/hosts.ts";
import { measureMove, type openCloud, removeWorkload, startRedis } from "../first-migration/product.ts";
import { keysOf } from "../first-migration/redis.ts";
import type { Cell } from "./cells.ts";
import type { Podman } from "./podman.ts";

const name = "bench";
const settleMs = 700;

export const isOurs = (method: string): boolean => method.startsWith("aether-");

export interface Rig {
  readonly cloud: Awaited<ReturnType<typeof openCloud>>;
  readonly hosts: Hosts;
  readonly criu: string;
  readonly podman: Podman | undefined;
}

/** A redis of the product's, filled once for all moves of its memory. */
export interface Resident {
  /** Moves that were begun. */
  readonly moveCount: number;
  move(method: string, cell: Cell): Promise<Measured>;
  remove(): Promise<void>;
}

export async function startResident({ cloud }: Rig, memoryMb: number): Promise<Resident> {
  const address = await startRedis(cloud, name, memoryMb).catch(async (cause: unknown) => {
    await removeWorkload(cloud, name).catch(() => undefined);
    throw cause;
  });
  let moveCount = 0;
  return {
    get moveCount() {
      return moveCount;
    },
    async move(method, cell) {
      const load = writer(cell)?.([], address);
      const mode = `MIGRATION_MODE_${method.replace("aether-", "").toUpperCase().replaceAll("-", "_")}`;
      const target = moveCount++ % 2 === 0 ? "n2" : "n1";
      const one = await measureMove(cloud, name, address, target, mode, { settleMs }).catch(async (cause: unknown) => {
        await load?.stop();
        throw cause;
      });
      const wrote = await load?.stop();
      return { ...one, wrongCount: one.wrongCount + (wrote?.wrongCount ?? 0), error: one.error ?? wrote?.error ?? null };
    },
    remove: () => removeWorkload(cloud, name),
  };
}

export function measureBaseline({ hosts, criu, podman }: Rig, method: string, cell: Cell): Promise<Measured> {
  const beside = writer(cell);
  const options: BareOptions = { settleMs, ...(beside === undefined ? {} : { beside }) };
  if (method === "criu") return measureBare(hosts, criu, cell.memoryMb, options);
  if (method === "criu-lazy") return measureBare(hosts, criu, cell.memoryMb, { ...options, isLazy: true });
  if (method === "podman" && podman !== undefined) return podman.measure(cell.memoryMb, options);
  throw new Error(`${method} is not a method`);
}

/** A writer of so many MiB a second, ended by SIGTERM. */
function writer(cell: Cell): BareOptions["beside"] {
  if (cell.dirtyMb === 0) return undefined;
  return (enter, address) => {
    const argv = [join(import.meta.dirname, "load.ts"), address, String(keysOf(cell.memoryMb)), String(cell.dirtyMb)];
    const [program = "", ...rest] = [...enter, process.execPath, ...argv];
    const child = spawn(program, rest, { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    // A writer whose connection breaks ends by itself, long before it is asked to.
    const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
    return {
      async stop() {
        child.kill("SIGTERM");
        await closed;
        return text === "" ? { wrongCount: 0, error: "the writer ended" } : JSON.parse(text);
      },
    };
  };
}

/** The nodes' interfaces are given this rate, Mbit/s; with 0 none. */
export async function limitLink(namespaces: readonly string[], mbit: number): Promise<void> {
  for (const namespace of namespaces) {
    const tc = ["-n", namespace, "qdisc"];
    await run("tc", [...tc, "del", "dev", "eth0", "root"], { deadlineMs: 10_000, okCodes: [0, 1, 2] });
    if (mbit === 0) continue;
    const shape = ["tbf", "rate", `${mbit}mbit`, "burst", "256k", "latency", "50ms"];
    await run("tc", [...tc, "add", "dev", "eth0", "root", ...shape], { deadlineMs: 10_000 });
  }
}
