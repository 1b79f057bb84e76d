// Memory that was copied ahead, put together from what the commands of a move answered.
import { type MemoryCopy, MemoryCopySchema } from "@aether/contract/gen/aether/v2/memory_pb";
import { create } from "@bufbuild/protobuf";
import type { CommandFact } from "./state.ts";
import { okResult } from "./steps/step.ts";

/** Undefined where no memory travelled before the freeze. */
export function memoryOf(commands: readonly CommandFact[]): MemoryCopy | undefined {
  const copied = okResult(commands, "copy")?.facts;
  const frozen = okResult(commands, "freeze")?.facts;
  const memory =
    (frozen?.case === "freeze" ? frozen.value.memory : undefined) ?? (copied?.case === "copy" ? copied.value.memory : undefined);
  if (memory === undefined) return undefined;
  const filled = okResult(commands, "drain_pages")?.phases.find((phase) => phase.name === "drain.pages")?.facts;
  return create(MemoryCopySchema, {
    ...memory,
    ...(filled === undefined ? {} : { faults: BigInt(filled.faults ?? 0), worstFaultMs: Number(filled.worstFaultMs ?? 0) }),
  });
}
