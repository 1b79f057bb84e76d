// One text for one value: the JSON Canonicalization Scheme (RFC 8785). What is signed is signed as this text, and a receipt on disk is this text.
import { create, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Receipt, ReceiptSchema } from "../gen/aether/v2/migration_pb.ts";
import { toUtf8 } from "./utf8.ts";

/** Sorted keys (by UTF-16 units, as JavaScript compares), no white space, numbers as ECMAScript writes them. Numbers must be finite. */
export function canonicalJson(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, each]) => `${JSON.stringify(key)}:${canonicalJson(each)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** A receipt as text: ProtoJSON in canonical form. */
export const receiptText = (receipt: Receipt): string => canonicalJson(toJson(ReceiptSchema, receipt));

/** What the control plane signs of a receipt: all of it but its own signature. */
export const countersignedText = (receipt: Receipt): string =>
  receiptText(
    create(ReceiptSchema, { ...receipt, statements: receipt.statements.filter(({ payloadType }) => payloadType !== payloadTypes.core) }),
  );

/** Who says it, as the type of a statement's payload. */
export const payloadTypes = {
  source: "application/vnd.aether.receipt.source+json",
  target: "application/vnd.aether.receipt.target+json",
  core: "application/vnd.aether.receipt.core+json",
} as const;

/** The bytes that are signed: the pre-authentication encoding of DSSE 1.0.2. */
export function signedBytes(payloadType: string, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = toUtf8(`DSSEv1 ${toUtf8(payloadType).length} ${payloadType} ${payload.length} `);
  const bytes = new Uint8Array(head.length + payload.length);
  bytes.set(head);
  bytes.set(payload, head.length);
  return bytes;
}
