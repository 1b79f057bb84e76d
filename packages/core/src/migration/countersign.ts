// The control plane's signature under a receipt: over all of it, so that what it alone knows (the time of the commit, the comparisons, the health
// afterwards) cannot be changed either. What the two nodes have signed stands for itself.
import { createHash } from "node:crypto";
import { type Receipt, ReceiptSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { SignedStatementSchema } from "@aether/contract/gen/aether/v2/receipt_pb";
import { type CoreFacts, canonicalJson, countersignedText, payloadTypes } from "@aether/contract/receipt";
import { type IdentityMaterial, signPayload } from "@aether/kit/identity";
import { create } from "@bufbuild/protobuf";

export function countersign(receipt: Receipt, identity: IdentityMaterial, nowMs: number): Receipt {
  const facts: CoreFacts = {
    version: 1,
    side: "core",
    migration: receipt.migrationId,
    receiptSha256: createHash("sha256").update(countersignedText(receipt)).digest("hex"),
    signedAtMs: nowMs,
  };
  const statement = create(SignedStatementSchema, signPayload(identity, payloadTypes.core, canonicalJson({ ...facts })));
  return create(ReceiptSchema, { ...receipt, statements: [...receipt.statements, statement] });
}
