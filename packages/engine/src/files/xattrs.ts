// Extended attributes of many files at once, by the native helper. What a kernel keeps for itself (overlayfs' origins, labels of this host's
// security policy) is not part of a file's state and is left out.
import { run } from "@aether/kit";

/** One text for each path: "name=hex name=hex", sorted; empty where there are none. */
export type AttributeReader = (paths: readonly Buffer[]) => Promise<string[]>;

const isState = (name: string): boolean =>
  name.startsWith("user.") ||
  name === "security.capability" ||
  name.startsWith("system.posix_acl_") ||
  name === "trusted.overlay.opaque" ||
  name === "trusted.overlay.redirect" ||
  (name.startsWith("trusted.") && !name.startsWith("trusted.overlay."));

export function attributeReader(native: string): AttributeReader {
  return async (paths) => {
    const found: string[][] = paths.map(() => []);
    if (paths.length === 0) return [];
    const nul = Buffer.from([0]);
    const input = Buffer.concat(paths.flatMap((path) => [path, nul]));
    const { stdout } = await run(native, ["xattr", "get"], { deadlineMs: 120_000, input, maxOutputBytes: 256 << 20 });
    for (const line of stdout.split("\n")) {
      const [index, name = "", value = ""] = line.split(" ");
      if (index !== "" && isState(name)) found[Number(index)]?.push(`${name}=${value}`);
    }
    return found.map((each) => each.sort().join(" "));
  };
}
