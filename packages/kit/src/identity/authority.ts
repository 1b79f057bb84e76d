// The built-in certificate authority of a trust domain: one self-signed P-256 root in one file, which issues X.509-SVIDs
// (SPIFFE X509-SVID, sections 2 to 4). It takes a request's key and nothing else of it: who a peer is was decided by the caller.
// The certificate library is loaded when an authority is opened, so that agents, which only ask, never pay for it.
import { randomBytes, webcrypto, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { fault } from "@aether/contract";
import type * as X509 from "@peculiar/x509";
import { type Clock, systemClock } from "../clock.ts";
import { readTextIfThere, writeFileAtomic } from "../files.ts";
import { spkiPin } from "./pin.ts";
import { createIdentityRequest } from "./request.ts";
import type { IdentityMaterial } from "./source.ts";
import { parseSpiffeId } from "./spiffe.ts";

/** Certificates are valid from this long before their issue, for peers whose clocks are behind. */
export const backdateMs = 60_000;

export interface IssuedCertificate {
  /** Leaf, then the root: a peer that knows only the pin needs the root in the handshake. */
  readonly certificateChainPem: string;
  readonly trustBundlePem: string;
  /** Hexadecimal, for the audit log. */
  readonly serialNumber: string;
  readonly expiresAtMs: number;
}

export interface Authority {
  readonly trustDomain: string;
  /** The root, PEM. */
  readonly trustBundlePem: string;
  /** sha256 of the root's SPKI, base64url: the second half of a join token. */
  spkiPin(): string;
  /**
   * Issues a certificate for the request's key and this ID. Throws INVALID_ARGUMENT: not a request, its signature does not fit its key,
   * the key is not P-256, the ID is of another trust domain, or the lifetime is outside 1 s to 30 days.
   */
  issue(csrPem: string, spiffeId: string, ttlMs: number): Promise<IssuedCertificate>;
  /** Key and certificate in one, for the process that holds the authority. */
  issueMaterial(spiffeId: string, ttlMs: number): Promise<IdentityMaterial>;
}

export interface AuthorityOptions {
  /** As in spiffe://TRUST-DOMAIN/…; must not change for a directory. */
  readonly trustDomain: string;
  readonly clock?: Clock;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const rootLifetimeMs = 10 * 365 * 86_400_000;
const maxTtlMs = 30 * 86_400_000;

/** Opens the authority of a directory, or makes one there: authority.pem (key and root, 0600). Throws CONFIG_INVALID when the file is not usable. */
export async function openAuthority(dir: string, options: AuthorityOptions): Promise<Authority> {
  const { trustDomain, clock = systemClock } = options;
  parseSpiffeId(`spiffe://${trustDomain}/core`);
  await import("reflect-metadata"); // the library's dependency injection needs it loaded first
  const x509 = await import("@peculiar/x509");
  x509.cryptoProvider.set(webcrypto);

  const file = join(dir, "authority.pem");
  const stored = await readTextIfThere(file);
  const { key, root, rootPem } = await parseRoot(x509, file, stored ?? (await createRoot(x509, trustDomain, clock)), trustDomain);
  if (stored === undefined) await writeFileAtomic(file, rootFile(await exportKey(x509, key), rootPem));

  async function issue(csrPem: string, spiffeId: string, ttlMs: number): Promise<IssuedCertificate> {
    if (parseSpiffeId(spiffeId).trustDomain !== trustDomain)
      throw fault("INVALID_ARGUMENT", `${spiffeId} is not of the trust domain ${trustDomain}`, { field: "spiffeId" });
    if (!Number.isFinite(ttlMs) || ttlMs < 1000 || ttlMs > maxTtlMs)
      throw fault("INVALID_ARGUMENT", `a certificate lives 1 s to 30 days, not ${ttlMs} ms`, { field: "ttlMs" });
    const publicKey = await keyOfRequest(x509, csrPem);
    const nowMs = clock.nowMs();
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: newSerial(),
      issuer: root.subject,
      subject: "O=Aether Guard",
      notBefore: new Date(nowMs - backdateMs),
      notAfter: new Date(Math.min(nowMs + ttlMs, root.notAfter.getTime())),
      publicKey,
      signingKey: key,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        new x509.SubjectAlternativeNameExtension([{ type: "url", value: spiffeId }]),
        await x509.AuthorityKeyIdentifierExtension.create(root, false),
        await x509.SubjectKeyIdentifierExtension.create(publicKey, false),
      ],
    });
    return {
      certificateChainPem: `${certificate.toString("pem")}\n${rootPem}`,
      trustBundlePem: rootPem,
      serialNumber: certificate.serialNumber,
      expiresAtMs: certificate.notAfter.getTime(),
    };
  }

  return {
    trustDomain,
    trustBundlePem: rootPem,
    spkiPin: () => spkiPin(rootPem),
    issue,
    async issueMaterial(spiffeId, ttlMs) {
      const { csrPem, privateKeyPem } = await createIdentityRequest();
      const { certificateChainPem, trustBundlePem, expiresAtMs } = await issue(csrPem, spiffeId, ttlMs);
      return { spiffeId, certificateChainPem, privateKeyPem, trustBundlePem, expiresAtMs };
    },
  };
}

async function createRoot(x509: typeof X509, trustDomain: string, clock: Clock): Promise<string> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const nowMs = clock.nowMs();
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: `O=Aether Guard, CN=${trustDomain}`,
    notBefore: new Date(nowMs - backdateMs),
    notAfter: new Date(nowMs + rootLifetimeMs),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: `spiffe://${trustDomain}` }]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false),
    ],
  });
  return rootFile(await exportKey(x509, keys.privateKey), `${root.toString("pem")}\n`);
}

const rootFile = (keyPem: string, rootPem: string) => `${keyPem.trim()}\n${rootPem}`;

async function exportKey(x509: typeof X509, key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}

async function parseRoot(x509: typeof X509, file: string, text: string, trustDomain: string) {
  const blocks = text.match(/-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----/g) ?? [];
  const [keyPem, certificatePem] = blocks;
  if (blocks.length !== 2 || keyPem === undefined || certificatePem === undefined)
    throw fault("CONFIG_INVALID", `${file} must hold a private key and a certificate`);
  try {
    const key = await webcrypto.subtle.importKey("pkcs8", x509.PemConverter.decodeFirst(keyPem), algorithm, true, ["sign"]);
    const root = new x509.X509Certificate(certificatePem);
    const uri = new X509Certificate(certificatePem).subjectAltName;
    if (uri !== `URI:spiffe://${trustDomain}`) throw new Error(`it is for ${uri}, not for the trust domain ${trustDomain}`);
    return { key, root, rootPem: `${certificatePem}\n` };
  } catch (cause) {
    throw fault("CONFIG_INVALID", `${file} is not a usable authority: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

async function keyOfRequest(x509: typeof X509, csrPem: string): Promise<X509.PublicKey> {
  const refuse = (why: string, cause?: unknown) =>
    fault("INVALID_ARGUMENT", `the certificate request is not valid: ${why}`, { field: "csrPem", cause });
  let request: X509.Pkcs10CertificateRequest;
  let isSigned: boolean;
  try {
    request = new x509.Pkcs10CertificateRequest(csrPem);
    isSigned = await request.verify();
  } catch (cause) {
    throw refuse("it cannot be read", cause);
  }
  if (!isSigned) throw refuse("it is not signed with its own key");
  const { name, namedCurve } = request.publicKey.algorithm as webcrypto.EcKeyAlgorithm;
  if (name !== "ECDSA" || namedCurve !== "P-256") throw refuse("its key must be ECDSA P-256");
  return request.publicKey;
}

/** 127 random bits, positive and of full length in DER (RFC 5280, section 4.1.2.2). */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString("hex");
}
