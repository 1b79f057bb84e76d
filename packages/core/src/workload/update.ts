// What of a running workload can be changed: only what the control plane alone goes by. Pure.
import { fault } from "@aether/contract";
import { EvacuationPolicySchema, type WorkloadSpec, WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { clone, create } from "@bufbuild/protobuf";
import { parseEvacuation, parseLabels, parseRpo } from "./spec.ts";

const evacuationFields = EvacuationPolicySchema.fields;
const paths: ReadonlySet<string> = new Set([
  "labels",
  "rpo_seconds",
  "evacuation",
  ...evacuationFields.map(({ name }) => `evacuation.${name}`),
]);

/**
 * The spec with what the mask names taken from `asked`; what is named there and absent in it is taken away.
 * Throws INVALID_ARGUMENT, naming the field.
 */
export function withUpdate(spec: WorkloadSpec, asked: WorkloadSpec | undefined, mask: readonly string[]): WorkloadSpec {
  const unknown = mask.find((path) => !paths.has(path));
  if (mask.length === 0 || unknown !== undefined) {
    const said = unknown === undefined ? "is empty" : `names ${JSON.stringify(unknown.slice(0, 60))}`;
    throw fault("INVALID_ARGUMENT", `update_mask ${said}; what can change is labels, rpo_seconds and evacuation`, {
      field: "update_mask",
      hint: "What its node was told when it began stays: stop it, remove it, and run it anew to change the rest.",
    });
  }
  const from = asked ?? create(WorkloadSpecSchema);
  const next = clone(WorkloadSpecSchema, spec);
  if (mask.includes("labels")) next.labels = parseLabels(from.labels, "spec.labels");
  if (mask.includes("rpo_seconds")) next.rpoSeconds = parseRpo(from.rpoSeconds);
  const evacuation = from.evacuation ?? create(EvacuationPolicySchema);
  if (mask.includes("evacuation")) next.evacuation = clone(EvacuationPolicySchema, evacuation);
  for (const { name, localName } of evacuationFields) {
    if (!mask.includes(`evacuation.${name}`)) continue;
    next.evacuation ??= create(EvacuationPolicySchema);
    Reflect.set(next.evacuation, localName, Reflect.get(evacuation, localName));
  }
  parseEvacuation(next.evacuation);
  return next;
}
