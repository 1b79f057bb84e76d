// What the certificates foretell when a drill begins, and what its moves then measured.
import { CertificateSchema, Verdict } from "@aether/contract/gen/aether/v2/certificate_pb";
import { type DrillPrediction, DrillPredictionSchema } from "@aether/contract/gen/aether/v2/drill_pb";
import { create } from "@bufbuild/protobuf";
import type { Db } from "../db/database.ts";
import { fromColumnOrNone } from "../db/proto.ts";
import type { DrillMove } from "./verdict.ts";

/** One entry a workload that runs on the node now, by name; without numbers where it has no certificate yet. */
export async function predict(db: Db, nodeId: string): Promise<DrillPrediction[]> {
  const rows = await db
    .selectFrom("placements")
    .leftJoin("certificates", "certificates.workload", "placements.workload")
    .select(["placements.workload", "certificates.body"])
    .where("placements.node_id", "=", nodeId)
    .where("placements.is_active", "=", true)
    .orderBy("placements.workload")
    .execute();
  return rows.map(({ workload, body }) => {
    const certificate = fromColumnOrNone(CertificateSchema, body);
    return create(DrillPredictionSchema, {
      workload,
      predictedFreezeMs: certificate?.freezeMs?.expected ?? 0,
      predictedTimeToSafeMs: certificate?.timeToSafeMs?.expected ?? 0,
      predictedTargetNodeId: certificate?.targetNodeId ?? "",
      verdict: certificate === undefined ? "" : (Verdict[certificate.verdict] ?? "").toLowerCase(),
    });
  });
}

/** @param observedAtMs when the notice was seen; time to safe counts from there. */
export function measured(
  predictions: readonly DrillPrediction[],
  moves: readonly (DrillMove & { readonly targetNodeId: string })[],
  observedAtMs: number | undefined,
): DrillPrediction[] {
  return predictions.map((each) => {
    const move = moves.find(({ workload, state }) => workload === each.workload && state === "done");
    if (move === undefined) return each;
    const safe = move.resumedAtMs !== undefined && observedAtMs !== undefined ? move.resumedAtMs - observedAtMs : 0;
    return create(DrillPredictionSchema, {
      ...each,
      measuredFreezeMs: move.receipt?.freezeMs ?? 0,
      measuredTimeToSafeMs: safe,
      targetNodeId: move.targetNodeId,
      migrationId: move.migrationId,
    });
  });
}
