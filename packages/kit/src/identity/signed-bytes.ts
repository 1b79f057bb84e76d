// Bytes that an identity said, for whoever must be sure of it after TLS has ended: a command at an agent, a plan on its disk. ECDSA P-256 with
// SHA-256 over the purpose, a zero byte and the content, so that what was signed for one use is worth nothing for another.
import { createPrivateKey, type KeyObject, sign, verify, X509Certificate } from "node:crypto";
import { fault } from "@aether/contract";
import type { IdentityMaterial } from "./source.ts";

export interface SignedContent {
  readonly purpose: string;
  readonly content: Uint8Array;
  readonly signature: Uint8Array;
  /** DER of the leaf. */
  readonly certificate: Uint8Array;
}

const toBeSigned = (purpose: string, content: Uint8Array): Buffer => Buffer.concat([Buffer.from(purpose), Buffer.from([0]), content]);

/** The signer of an identity that rotates; key and certificate are read once for each certificate. About 0.1 ms a call. */
export function createSigner(current: () => IdentityMaterial): (
  purpose: string,
  content: Uint8Array<ArrayBuffer>,
) => SignedContent & {
  readonly content: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
  readonly certificate: Uint8Array<ArrayBuffer>;
} {
  let known: { chain: string; key: KeyObject; certificate: Uint8Array<ArrayBuffer> } | undefined;
  return (purpose, content) => {
    const material = current();
    if (known?.chain !== material.certificateChainPem) {
      const certificate = Uint8Array.from(new X509Certificate(material.certificateChainPem).raw);
      known = { chain: material.certificateChainPem, key: createPrivateKey(material.privateKeyPem), certificate };
    }
    const signature = Uint8Array.from(sign("sha256", toBeSigned(purpose, content), known.key));
    return { purpose, content, signature, certificate: known.certificate };
  };
}

/**
 * Checks what was signed; throws IDENTITY_REJECTED where the purpose is another, the certificate is not one that the bundle vouches for, it is not of
 * `spiffeId`, or the signature does not fit. The certificate's dates are not looked at here: content that expires says so itself, as a duration.
 * A certificate that was checked is known again.
 */
export function createSignatureCheck(
  trust: () => { readonly trustBundlePem: string; readonly spiffeId: string },
): (signed: SignedContent, purpose: string) => Uint8Array {
  let known: { der: Buffer; bundle: string; certificate: X509Certificate } | undefined;
  const reject = (why: string) => fault("IDENTITY_REJECTED", `not said by the control plane: ${why}`);
  return (signed, purpose) => {
    const { trustBundlePem, spiffeId } = trust();
    const der = Buffer.from(signed.certificate);
    if (signed.purpose !== purpose) throw reject(`signed as ${JSON.stringify(signed.purpose.slice(0, 40))}, not as ${purpose}`);
    if (known === undefined || known.bundle !== trustBundlePem || !known.der.equals(der)) {
      known = { der, bundle: trustBundlePem, certificate: checkCertificate(der, trustBundlePem, spiffeId, reject) };
    }
    if (!verify("sha256", toBeSigned(purpose, signed.content), known.certificate.publicKey, signed.signature))
      throw reject("the signature does not fit");
    return signed.content;
  };
}

function checkCertificate(der: Buffer, bundle: string, spiffeId: string, reject: (why: string) => Error): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
  } catch {
    throw reject("there is no certificate");
  }
  const roots = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const isVouchedFor = roots.some((pem) => {
    const root = new X509Certificate(pem);
    return root.ca && certificate.checkIssued(root) && certificate.verify(root.publicKey);
  });
  if (!isVouchedFor) throw reject("its certificate is not of this trust domain");
  if (certificate.ca) throw reject("its certificate is an authority's");
  const names = (certificate.subjectAltName ?? "").split(", ");
  if (!names.includes(`URI:${spiffeId}`)) throw reject(`its certificate is of ${names.join(", ").slice(0, 100) || "nobody"}`);
  return certificate;
}
