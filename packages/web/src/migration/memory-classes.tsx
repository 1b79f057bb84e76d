// The memory of a workload by how it can travel: what is copied while it runs, and what only the freeze can carry.
import type { MemoryClasses } from "@aether/contract/gen/aether/v2/memory_pb";
import { bytes, duration } from "../format/units.ts";

const kinds: Readonly<Record<string, string>> = {
  huge_pages: "huge pages",
  sysv_shared: "System V segments",
  sealed: "sealed memory",
  locked: "locked memory",
};

export function MemoryClassesText({ classes }: { classes: MemoryClasses }) {
  const ahead = [
    classes.privateBytes > 0n && `${bytes(classes.privateBytes)} private`,
    classes.sharedBytes > 0n && `${bytes(classes.sharedBytes)} shared`,
  ].filter((each) => each !== false);
  return (
    <>
      <div>{ahead.length === 0 ? "nothing ahead" : `${ahead.join(" and ")}, ahead of the freeze`}</div>
      {classes.carried.map(({ kind, bytes: size, freezeMs }) => (
        <div key={kind} className="text-warn">
          {bytes(size)} of {kinds[kind] ?? kind.replaceAll("_", " ")}, only inside it (about {duration(freezeMs)} of it)
        </div>
      ))}
    </>
  );
}
