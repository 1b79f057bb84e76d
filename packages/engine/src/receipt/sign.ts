// A node's word about a move, signed with the key of its X.509-SVID (DSSE over canonical JSON, ECDSA P-256; see the contract's SignedStatement).
import { canonicalJson, payloadTypes, type StatementFacts, type TargetFacts } from "@aether/contract/receipt";
import { type IdentityMaterial, nodeIdOf, signPayload } from "@aether/kit/identity";
import type { Manifest, MigrationRef, SignedStatement } from "../engine.ts";

/** What both sides say in the same words. */
export function statementFacts(
  identity: IdentityMaterial,
  ref: MigrationRef,
  about: { readonly side: "source" | "target"; readonly peer: string; readonly mode: string; readonly manifest: Manifest },
  counters: { readonly resetsSent: number | null; readonly segmentsRetransmitted: number | null },
): StatementFacts {
  const { side, peer, mode, manifest } = about;
  return {
    version: 1,
    side,
    migration: ref.migrationId,
    workload: ref.workload,
    epoch: side === "source" ? ref.epoch : ref.epoch + 1,
    node: nodeIdOf(identity.spiffeId) ?? "",
    peer,
    mode,
    sections: manifest.sections.map(({ name, leafCount, root }) => ({ name, leaves: leafCount, root })),
    root: manifest.root,
    notCovered: mode === "post-copy" ? ["memory pages: they travel after the resume, under TLS, and are not hashed"] : [],
    resetsSent: counters.resetsSent,
    segmentsRetransmitted: counters.segmentsRetransmitted,
    signedAtMs: Date.now(),
  };
}

export function signStatement(identity: IdentityMaterial, facts: StatementFacts | TargetFacts): SignedStatement {
  const sections = facts.sections.map((section) => ({ ...section }));
  const payload = canonicalJson({ ...facts, sections, notCovered: [...facts.notCovered] });
  const signed = signPayload(identity, payloadTypes[facts.side], payload);
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  return {
    payloadType: signed.payloadType,
    payload: base64(signed.payload),
    signature: base64(signed.signature),
    certificateChain: signed.certificateChain.map(base64),
  };
}
