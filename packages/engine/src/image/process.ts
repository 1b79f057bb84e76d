// What a workload's process is started with, where its spec and its image both have a say: the spec wins, name by name for variables. A command
// in the spec replaces the image's Entrypoint and Cmd together.
import { lstat, readFile } from "node:fs/promises";
import { fault } from "@aether/contract";
import { isErrno } from "@aether/kit";
import type { WorkloadSpec } from "../engine.ts";
import type { ImagePin } from "./images.ts";
import { resolveInside } from "./inside.ts";

export interface ProcessSettings {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

/** Throws COMMAND_NOT_EXECUTABLE (there is no command), ROOTFS_INVALID (the user is not in the image). */
export async function processSettings(spec: WorkloadSpec, image: ImagePin | undefined, root: string): Promise<ProcessSettings> {
  const argv = spec.argv.length > 0 ? spec.argv : (image?.argv ?? []);
  if (argv.length === 0) throw fault("COMMAND_NOT_EXECUTABLE", "neither the spec nor the image names a command", { field: "spec.argv" });
  return {
    argv,
    env: { ...image?.env, ...spec.env },
    workingDirectory: spec.workingDirectory || image?.workingDirectory || "/",
    ...(await findUser(spec.user || image?.user || "", root)),
  };
}

type User = Pick<ProcessSettings, "uid" | "gid" | "additionalGids">;

/** "USER", "UID", "USER:GROUP", as the image configuration has it; names are looked up in the root's own passwd and group. */
async function findUser(text: string, root: string): Promise<User> {
  if (text === "") return { uid: 0, gid: 0, additionalGids: [] };
  const [user = "", group] = text.split(":");
  const passwd = await table(root, "/etc/passwd");
  const groups = await table(root, "/etc/group");
  const row = passwd.find((each) => (isNumber(user) ? each[2] === user : each[0] === user));
  if (row === undefined && !isNumber(user)) throw unknown(`user ${JSON.stringify(user)}`);
  const uid = id(isNumber(user) ? user : row?.[2], `user ${user}`);
  if (group !== undefined && group !== "") {
    const found = isNumber(group) ? group : groups.find((each) => each[0] === group)?.[2];
    if (found === undefined) throw unknown(`group ${JSON.stringify(group)}`);
    return { uid, gid: id(found, `group ${group}`), additionalGids: [] };
  }
  const name = row?.[0];
  const member = groups.filter((each) => name !== undefined && (each[3] ?? "").split(",").includes(name));
  return { uid, gid: id(row?.[3] ?? "0", `group of ${user}`), additionalGids: member.map((each) => id(each[2], `group ${each[0]}`)) };
}

const isNumber = (text: string) => /^\d{1,10}$/.test(text);

const unknown = (what: string) => fault("ROOTFS_INVALID", `the rootfs has no ${what}`, { field: "spec.user" });

function id(text: string | undefined, what: string): number {
  const value = Number(text);
  if (text === undefined || !isNumber(text) || value > 0xffff_fffe)
    throw fault("ROOTFS_INVALID", `the ${what} has no valid number`, { field: "spec.user" });
  return value;
}

/** Far above any real one. The workload may have written it, and we keep it in memory. */
const maxTableBytes = 1 << 20;

async function table(root: string, path: string): Promise<string[][]> {
  const at = await resolveInside(root, path, true);
  const found = await lstat(at).catch((caught: unknown) => {
    if (isErrno(caught, "ENOENT", "ENOTDIR")) return undefined;
    throw caught;
  });
  if (found !== undefined && found.size > maxTableBytes)
    throw fault("ROOTFS_INVALID", `${path} of the rootfs has ${found.size} bytes`, { field: "spec.user" });
  const text = found?.isFile() ? await readFile(at, "utf8") : ""; // a pipe in its place would keep the reader for ever
  return text.split("\n").flatMap((line) => (line === "" ? [] : [line.split(":")]));
}
