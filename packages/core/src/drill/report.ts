// The report of a drill that has ended: what was foretold and what was measured, signed by the control plane, and the same for people.
import { createHash } from "node:crypto";
import { fault } from "@aether/contract";
import {
  DrillReceiptSchema,
  type DrillReport,
  DrillReportSchema,
  type GetDrillReportResponse,
  GetDrillReportResponseSchema,
} from "@aether/contract/gen/aether/v2/drill_pb";
import { ReceiptSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { SignedStatementSchema } from "@aether/contract/gen/aether/v2/receipt_pb";
import { drillReportText, drillReportType, receiptText } from "@aether/contract/receipt";
import { type IdentitySource, signPayload } from "@aether/kit/identity";
import { create } from "@bufbuild/protobuf";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import { coreVersion } from "../version.ts";
import { reportHtml, reportMarkdown } from "./report-text.ts";
import { toDrill } from "./store.ts";

export interface ReportParts {
  readonly db: Db;
  readonly identity: IdentitySource;
  readonly trustDomain: string;
  readonly nowMs: () => number;
}

/** Throws DRILL_RUNNING while it has no end. */
export async function makeReport({ db, identity, trustDomain, nowMs }: ReportParts, row: Row<"drills">): Promise<GetDrillReportResponse> {
  if (row.state === "running")
    throw fault("DRILL_RUNNING", `${row.id} has not ended: its report is made when it has`, { hint: "Wait for its end, or stop it." });
  const drill = toDrill(row);
  const receipts =
    drill.migrationIds.length === 0
      ? []
      : await db
          .selectFrom("migrations")
          .select(["id", "receipt"])
          .where("id", "in", drill.migrationIds)
          .where("receipt", "is not", null)
          .orderBy("id")
          .execute();
  const report = create(DrillReportSchema, {
    drill,
    receipts: receipts.flatMap(({ id, receipt }) =>
      receipt === null
        ? []
        : [create(DrillReceiptSchema, { migrationId: id, sha256: sha256(receiptText(fromColumn(ReceiptSchema, receipt))) })],
    ),
    trustDomain,
    coreVersion,
  });
  const material = identity.current();
  return create(GetDrillReportResponseSchema, {
    report,
    statement: sign(report, material, nowMs()),
    trustBundlePem: material.trustBundlePem,
    markdown: reportMarkdown(report),
    html: reportHtml(report),
  });
}

const sign = (report: DrillReport, material: Parameters<typeof signPayload>[0], signedAtMs: number) =>
  create(SignedStatementSchema, signPayload(material, drillReportType, drillReportText(report, signedAtMs)));

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
