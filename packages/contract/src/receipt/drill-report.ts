// The report of a drill as text that is signed, and its check with nothing but the trust bundle.
import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type DrillReport, DrillReportSchema, type GetDrillReportResponse } from "../gen/aether/v2/drill_pb.ts";
import { canonicalJson } from "./canonical.ts";
import { parsePem } from "./certificate.ts";
import type { Subtle } from "./subtle.ts";
import { type ReceiptCheck, readSigned } from "./verify.ts";

export const drillReportType = "application/vnd.aether.drill-report+json";

/** What the control plane signs. */
export const drillReportText = (report: DrillReport, signedAtMs: number): string =>
  canonicalJson({ version: 1, side: "drill", signedAtMs, report: toJson(DrillReportSchema, report) });

/** The report that was signed, and each check; undefined when its signature does not lead to the bundle. */
export async function verifyDrillReport(
  answer: Pick<GetDrillReportResponse, "report" | "statement">,
  trustBundlePem: string,
  subtle: Subtle,
): Promise<{ readonly report: DrillReport | undefined; readonly checks: ReceiptCheck[] }> {
  const checks: ReceiptCheck[] = [];
  const check = async <Found>(name: string, work: () => Promise<readonly [string, Found]>): Promise<Found | undefined> => {
    try {
      const [detail, found] = await work();
      checks.push({ name, isPassed: true, detail });
      return found;
    } catch (caught) {
      checks.push({ name, isPassed: false, detail: caught instanceof Error ? caught.message : String(caught) });
      return undefined;
    }
  };
  const anchors = await check("trust bundle", async () => {
    const found = parsePem(trustBundlePem);
    if (found.length === 0) throw new Error("it holds no certificate");
    return [`${found.length} certificate${found.length === 1 ? "" : "s"}`, found];
  });
  if (anchors === undefined) return { report: undefined, checks };
  const facts = await check("control plane: signature and certificate", async () => {
    const { statement } = answer;
    if (statement === undefined) throw new Error("there is no statement of it");
    if (statement.payloadType !== drillReportType) throw new Error(`it is a statement of another type: ${statement.payloadType}`);
    const read = await readSigned(statement, "drill", anchors, subtle);
    return [`signed by ${read.signer} at ${new Date(Number(read.facts.signedAtMs)).toISOString()}`, read.facts as { report: JsonValue }];
  });
  if (facts === undefined) return { report: undefined, checks };
  const report = await check("the report is what was signed", async () => {
    const signed = fromJson(DrillReportSchema, facts.report);
    const shown = answer.report === undefined ? "" : canonicalJson(toJson(DrillReportSchema, answer.report));
    if (canonicalJson(facts.report) !== shown) throw new Error("it says something else than what was signed");
    return [`drill ${signed.drill?.id ?? ""} on ${signed.drill?.nodeId ?? ""}`, signed];
  });
  return { report, checks };
}
