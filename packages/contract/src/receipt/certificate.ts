// As much of X.509 (RFC 5280) as an X.509-SVID needs: who it is for, until when, with which key, and whether another certificate's key has signed it.
// Read strictly: what is not of the expected form is no certificate.
import type { Subtle } from "./subtle.ts";

export interface Certificate {
  /** What the issuer has signed. */
  readonly signed: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
  readonly signatureAlgorithm: string;
  readonly publicKeyInfo: Uint8Array<ArrayBuffer>;
  readonly issuer: string;
  readonly subject: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** URIs among the subject's alternative names. */
  readonly uris: readonly string[];
  readonly isAuthority: boolean;
}

interface Element {
  readonly tag: number;
  readonly body: Uint8Array<ArrayBuffer>;
  /** With tag and length. */
  readonly whole: Uint8Array<ArrayBuffer>;
}

class Malformed extends Error {}

const bad = (why: string): never => {
  throw new Malformed(`not a certificate that can be read: ${why}`);
};

/** The elements that follow each other in `bytes` (DER, X.690). */
function elements(bytes: Uint8Array<ArrayBuffer>): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] ?? 0;
    let length = bytes[at + 1] ?? bad("it ends early");
    let from = at + 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 3) bad("a length that DER does not have");
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + (bytes[from + i] ?? bad("it ends early"));
      from += count;
    }
    if (from + length > bytes.length) bad("it ends early");
    found.push({ tag, body: bytes.slice(from, from + length), whole: bytes.slice(at, from + length) });
    at = from + length;
  }
  return found;
}

const one = (list: readonly Element[], at: number, tag: number): Element => {
  const found = list[at];
  return found?.tag === tag ? found : bad(`element ${at} is not of type ${tag}`);
};

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
const hexOf = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const sequence = 0x30;
const isTrue = (element: Element | undefined): boolean => element?.tag === 0x01 && element.body[0] === 0xff;

/** Throws when the bytes are anything else. */
export function parseCertificate(der: Uint8Array): Certificate {
  const [outer, ...rest] = elements(Uint8Array.from(der));
  if (outer === undefined || outer.tag !== sequence || rest.length > 0) bad("it is not one sequence");
  const parts = elements(outer?.body ?? new Uint8Array());
  const signed = one(parts, 0, sequence);
  const signature = one(parts, 2, 0x03).body;
  if (parts.length !== 3 || signature[0] !== 0) bad("its outer form is not that of a certificate");
  const fields = elements(signed.body);
  if (fields[0]?.tag !== 0xa0) bad("it is not of version 3");
  const validity = elements(one(fields, 4, sequence).body).map(timeOf);
  const extensions = elements(fields.find(({ tag }) => tag === 0xa3)?.body ?? new Uint8Array()).flatMap(({ body }) => elements(body));
  const extension = (oid: string): Uint8Array<ArrayBuffer> | undefined => {
    const found = extensions.map(({ body }) => elements(body)).filter(([id]) => id !== undefined && hexOf(id.body) === oid);
    if (found.length > 1) bad("an extension is there twice");
    return found[0]?.at(-1)?.body;
  };
  const names = extension("551d11"); // subjectAltName
  const constraints = extension("551d13"); // basicConstraints
  return {
    signed: signed.whole,
    signature: signature.slice(1),
    signatureAlgorithm: hexOf(elements(one(parts, 1, sequence).body)[0]?.body ?? new Uint8Array()),
    publicKeyInfo: one(fields, 6, sequence).whole,
    issuer: hexOf(one(fields, 3, sequence).whole),
    subject: hexOf(one(fields, 5, sequence).whole),
    notBeforeMs: validity[0] ?? Number.NaN,
    notAfterMs: validity[1] ?? Number.NaN,
    uris:
      names === undefined
        ? []
        : elements(elements(names)[0]?.body ?? new Uint8Array()).flatMap(({ tag, body }) => (tag === 0x86 ? [latin1(body)] : [])),
    isAuthority: constraints !== undefined && isTrue(elements(elements(constraints)[0]?.body ?? new Uint8Array())[0]),
  };
}

/** UTCTime (years 1950 to 2049) or GeneralizedTime, both in UTC to the second. */
function timeOf({ tag, body }: Element): number {
  const text = latin1(body);
  const match = tag === 0x17 ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text) : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null) return bad("a time that cannot be read");
  const [year = 0, month = 0, ...others] = match.slice(1).map(Number);
  return Date.UTC(tag === 0x17 ? (year < 50 ? 2000 : 1900) + year : year, month - 1, ...(others as [number, number, number, number]));
}

const algorithms: Readonly<
  Record<
    string,
    {
      readonly key: { name: string; namedCurve?: string; hash?: string };
      readonly verify: { name: string; hash?: string };
      readonly size?: number;
    }
  >
> = {
  // ecdsa-with-SHA256, ecdsa-with-SHA384 (RFC 5758), sha256WithRSAEncryption (RFC 4055)
  "2a8648ce3d040302": { key: { name: "ECDSA", namedCurve: "P-256" }, verify: { name: "ECDSA", hash: "SHA-256" }, size: 32 },
  "2a8648ce3d040303": { key: { name: "ECDSA", namedCurve: "P-384" }, verify: { name: "ECDSA", hash: "SHA-384" }, size: 48 },
  "2a864886f70d01010b": { key: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, verify: { name: "RSASSA-PKCS1-v1_5" } },
};

/** Has `issuer`'s key signed this certificate? */
export async function isIssuedBy(subtle: Subtle, certificate: Certificate, issuer: Certificate): Promise<boolean> {
  if (!issuer.isAuthority || issuer.subject !== certificate.issuer) return false;
  const algorithm = algorithms[certificate.signatureAlgorithm];
  if (algorithm === undefined)
    throw new Malformed(`the signature algorithm ${certificate.signatureAlgorithm} of a certificate is not known here`);
  const key = await subtle.importKey("spki", issuer.publicKeyInfo, algorithm.key, false, ["verify"]);
  const signature = algorithm.size === undefined ? certificate.signature : fixedWidth(certificate.signature, algorithm.size);
  return subtle.verify(algorithm.verify, key, signature, certificate.signed);
}

/** ECDSA signatures in certificates are two DER integers; WebCrypto has them side by side in a fixed width. */
function fixedWidth(der: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  const numbers = elements(one(elements(der), 0, sequence).body);
  const result = new Uint8Array(2 * size);
  for (const at of [0, 1]) {
    const body = one(numbers, at, 0x02).body;
    const digits = body.slice(
      Math.max(
        0,
        body.findIndex((byte) => byte !== 0),
      ),
    );
    if (digits.length > size) bad("a signature that is too long");
    result.set(digits, (at + 1) * size - digits.length);
  }
  return result;
}

/** The certificates of a PEM text. Throws when one cannot be read. */
export function parsePem(text: string): Certificate[] {
  const blocks = [...text.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g)];
  return blocks.map(([, body = ""]) => parseCertificate(base64(body.replace(/\s/g, ""))));
}

function base64(text: string): Uint8Array {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const digits = [...text.replace(/=+$/, "")].map((digit) => alphabet.indexOf(digit));
  const bytes = new Uint8Array(Math.floor((digits.length * 6) / 8));
  for (let i = 0; i < bytes.length; i++) {
    const bit = i * 8;
    const pair = ((digits[Math.floor(bit / 6)] ?? 0) << 6) | (digits[Math.floor(bit / 6) + 1] ?? 0);
    bytes[i] = (pair >> (4 - (bit % 6))) & 0xff;
  }
  return bytes;
}
