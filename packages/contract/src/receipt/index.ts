export { canonicalJson, countersignedText, payloadTypes, receiptText, signedBytes } from "./canonical.ts";
export { drillReportText, drillReportType, verifyDrillReport } from "./drill-report.ts";
export { type CoreFacts, type SectionFact, type StatementFacts, sectionLeaf, type TargetFacts } from "./statement.ts";
export { type ReceiptCheck, verifyReceipt } from "./verify.ts";
