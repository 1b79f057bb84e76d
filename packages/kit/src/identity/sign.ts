// A statement signed with the key of an identity: DSSE's pre-authentication encoding, ECDSA P-256 with SHA-256 in the fixed-width form that WebCrypto
// reads (see SignedStatement in the contract).
import { createPrivateKey, sign, X509Certificate } from "node:crypto";
import { signedBytes } from "@aether/contract/receipt";
import type { IdentityMaterial } from "./source.ts";

export interface Signed {
  readonly payloadType: string;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
  /** DER, leaf first. */
  readonly certificateChain: Uint8Array[];
}

/** About a fifth of a millisecond. */
export function signPayload(identity: IdentityMaterial, payloadType: string, payload: string): Signed {
  const bytes = Uint8Array.from(Buffer.from(payload));
  const key = createPrivateKey(identity.privateKeyPem);
  const signature = sign("sha256", signedBytes(payloadType, bytes), { key, dsaEncoding: "ieee-p1363" });
  const chain = identity.certificateChainPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return {
    payloadType,
    payload: bytes,
    signature: Uint8Array.from(signature),
    // Without the root: whoever checks has it from elsewhere.
    certificateChain: chain
      .map((pem) => new X509Certificate(pem))
      .filter(({ issuer, subject, ca }) => !(ca && issuer === subject))
      .map(({ raw }) => Uint8Array.from(raw)),
  };
}
