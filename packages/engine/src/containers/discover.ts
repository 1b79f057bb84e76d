// Running containers of podman and Docker, as their own programs describe them. Nothing is changed: `ps` and `inspect` are all that is asked.
import { Fault, fault } from "@aether/contract";
import { run } from "@aether/kit";
import { z } from "zod";

export const containerRuntimes = ["podman", "docker"] as const;
export type ContainerRuntime = (typeof containerRuntimes)[number];

export interface Container {
  readonly runtime: ContainerRuntime;
  readonly id: string;
  readonly name: string;
  /** Empty where it runs from a directory. */
  readonly image: string;
  readonly rootfs: string;
  /** Its first process, in this host's pid namespace. */
  readonly pid: number;
  readonly argv: readonly string[];
  /** Names alone: values are often secrets. */
  readonly environment: readonly string[];
  readonly user: string;
  readonly workingDirectory: string;
  readonly mounts: readonly {
    readonly source: string;
    readonly destination: string;
    readonly type: string;
    readonly isReadOnly: boolean;
  }[];
  readonly memoryLimitBytes: number;
  /** 0: none. */
  readonly pidsLimit: number;
  readonly isHostNetwork: boolean;
  readonly isHostPid: boolean;
  readonly isHostIpc: boolean;
  readonly isPrivileged: boolean;
  readonly hasTerminal: boolean;
  /** "8080/tcp from 0.0.0.0:80" */
  readonly ports: readonly string[];
}

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? "");
const texts = z
  .array(z.string())
  .nullish()
  .transform((value) => value ?? []);
const inspected = z.array(
  z.object({
    Id: z.string(),
    Name: z.string(),
    Path: text,
    Args: texts,
    Image: text,
    ImageName: text,
    Rootfs: text,
    State: z.object({ Pid: z.number().int(), Running: z.boolean() }),
    Config: z.object({ Image: text, Env: texts, User: text, WorkingDir: text, Tty: z.boolean().nullish() }),
    HostConfig: z.object({
      NetworkMode: text,
      PidMode: text,
      IpcMode: text,
      Privileged: z.boolean().nullish(),
      Memory: z.number().nullish(),
      PidsLimit: z.number().nullish(),
    }),
    Mounts: z
      .array(z.object({ Type: text, Source: text, Destination: z.string(), RW: z.boolean().nullish() }))
      .nullish()
      .transform((value) => value ?? []),
    NetworkSettings: z
      .object({ Ports: z.record(z.string(), z.array(z.object({ HostIp: text, HostPort: text })).nullish()).nullish() })
      .nullish(),
  }),
);

/** Parses what `podman inspect` and `docker inspect` print of containers; they write the same words. Those that do not run are left out. */
export function parseInspected(runtime: ContainerRuntime, json: string): Container[] {
  return inspected.parse(JSON.parse(json)).flatMap((one): Container[] => {
    if (!one.State.Running || one.State.Pid <= 0) return [];
    const ports = Object.entries(one.NetworkSettings?.Ports ?? {}).flatMap(([inner, bindings]) =>
      (bindings ?? []).map(({ HostIp, HostPort }) => `${inner} from ${HostIp || "0.0.0.0"}:${HostPort}`),
    );
    return [
      {
        runtime,
        id: one.Id,
        name: one.Name.replace(/^\//, ""), // Docker's begin with a slash
        image: one.ImageName || one.Config.Image,
        rootfs: one.Rootfs,
        pid: one.State.Pid,
        argv: [one.Path, ...one.Args].filter((word, at) => at > 0 || word !== ""),
        environment: one.Config.Env.map((pair) => pair.split("=")[0] ?? "").sort(),
        user: one.Config.User,
        workingDirectory: one.Config.WorkingDir,
        mounts: one.Mounts.map(({ Type, Source, Destination, RW }) => ({
          source: Source,
          destination: Destination,
          type: Type,
          isReadOnly: RW === false,
        })),
        memoryLimitBytes: one.HostConfig.Memory ?? 0,
        pidsLimit: Math.max(0, one.HostConfig.PidsLimit ?? 0),
        isHostNetwork: one.HostConfig.NetworkMode === "host",
        isHostPid: one.HostConfig.PidMode === "host",
        isHostIpc: one.HostConfig.IpcMode === "host",
        isPrivileged: one.HostConfig.Privileged === true,
        hasTerminal: one.Config.Tty === true,
        ports,
      },
    ];
  });
}

export interface Discovered {
  readonly containers: readonly Container[];
  /** Why a runtime could not be asked: not installed, its daemon does not run. */
  readonly unasked: readonly { readonly runtime: ContainerRuntime; readonly reason: string }[];
}

const deadlineMs = 20_000;

/** @param name only this one, by name or id; every runtime that has it is asked. */
export async function discoverContainers(
  runtimes: readonly ContainerRuntime[],
  name: string | undefined,
  signal: AbortSignal,
): Promise<Discovered> {
  if (name !== undefined && !/^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/.test(name))
    throw fault("INVALID_ARGUMENT", `${JSON.stringify(name.slice(0, 80))} is not the name or id of a container`, { field: "container" });
  const containers: Container[] = [];
  const unasked: { runtime: ContainerRuntime; reason: string }[] = [];
  for (const runtime of runtimes) {
    try {
      const listed = await run(runtime, ["ps", "--quiet", "--no-trunc"], { deadlineMs, signal });
      const ids = listed.stdout.split("\n").filter(Boolean);
      if (ids.length === 0) continue;
      const { stdout } = await run(runtime, ["inspect", "--type", "container", ...ids], { deadlineMs, signal, maxOutputBytes: 64 << 20 });
      containers.push(...parseInspected(runtime, stdout));
    } catch (caught) {
      const problem = Fault.from(caught);
      if (!["TOOL_MISSING", "TOOL_FAILED", "TOOL_TIMEOUT"].includes(problem.code)) throw caught;
      unasked.push({ runtime, reason: problem.message });
    }
  }
  return { containers: containers.filter((one) => name === undefined || one.name === name || one.id.startsWith(name)), unasked };
}
