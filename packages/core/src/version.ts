// The version of this control plane, as its package says.
import { readFileSync } from "node:fs";
import { z } from "zod";

export const coreVersion: string = z
  .object({ version: z.string() })
  .parse(JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))).version;
