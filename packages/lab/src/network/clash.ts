// Whether this cloud's names and addresses are free on the machine. Looked at before anything is made, so that a clash is told, not half-built.
import { readTextIfThere } from "@aether/kit";
import { z } from "zod";
import type { CloudLayout } from "../layout.ts";
import { aliasStart } from "./fabric.ts";
import { ip, namespacesOf } from "./ip.ts";

export interface Clash {
  /** What is in the way, in one line. */
  readonly what: string;
  readonly mend: string;
}

const routes = z.array(z.object({ dst: z.string().optional(), dev: z.string().optional() }));

/** The first thing in the way, or undefined. `ownDir`: what belongs to this very cloud is no clash. */
export async function findClash(cloud: CloudLayout, ownDir: string): Promise<Clash | undefined> {
  const alias = await aliasOf(cloud.hostLink);
  const owner = ownerIn(alias);
  if (owner !== undefined && owner !== ownDir) {
    return { what: `another local cloud runs on this machine (in ${owner})`, mend: `Stop it with: aether down --dir ${owner}` };
  }
  if (alias !== undefined && owner === undefined) {
    return { what: `the network interface ${cloud.hostLink} exists and is not ours`, mend: "Choose other names with: --prefix NAME" };
  }
  if (alias === undefined && (await namespacesOf((name) => name === cloud.fabricNamespace)).length > 0) {
    return {
      what: `the network namespace ${cloud.fabricNamespace} exists, left by a cloud that was killed`,
      mend: "Remove it with: aether down",
    };
  }
  const holder = overlapping(cloud.subnet, cloud.hostLink, routes.parse(JSON.parse((await ip(["-json", "-4", "route", "show"])) || "[]")));
  return holder === undefined
    ? undefined
    : { what: `${cloud.subnet} is in use on this machine (route ${holder})`, mend: "Give another one with: --subnet 10.78.0.0/16" };
}

/** The directory of the cloud that holds this prefix now; undefined when none does, or none that can be told. */
export async function ownerOf(prefix: string): Promise<string | undefined> {
  return ownerIn(await aliasOf(`${prefix}-host`));
}

const aliasOf = async (link: string) => (await readTextIfThere(`/sys/class/net/${link}/ifalias`))?.trim();

const ownerIn = (alias: string | undefined) => (alias?.startsWith(aliasStart) ? alias.slice(aliasStart.length) : undefined);

/** The route that overlaps with an A.B.0.0/16, unless it is the cloud's own or a default route. Exported for its test. */
export function overlapping(subnet: string, ownLink: string, table: z.infer<typeof routes>): string | undefined {
  const own = parseCidr(subnet);
  const hit = table.find(({ dst, dev }) => {
    if (dst === undefined || dst === "default" || dev === ownLink) return false;
    const other = parseCidr(dst);
    const bits = Math.min(own.bits, other.bits);
    return bits > 0 && own.base >>> (32 - bits) === other.base >>> (32 - bits);
  });
  return hit && `${hit.dst} dev ${hit.dev ?? "?"}`;
}

function parseCidr(text: string): { base: number; bits: number } {
  const [address = "", bits = "32"] = text.split("/");
  const base = address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  return { base: base >>> 0, bits: Number(bits) };
}
