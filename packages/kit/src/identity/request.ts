// A node makes its own key and asks for a certificate; the key never leaves it. The request is PKCS#10 (RFC 2986), written here in DER
// with node:crypto alone, because the certificate library costs an agent more memory than all of its own work.
import { createPublicKey, generateKeyPair, sign } from "node:crypto";
import { promisify } from "node:util";

export interface IdentityRequest {
  /** PKCS#10, PEM. Names nothing but the key: the authority decides who this is. */
  readonly csrPem: string;
  /** PKCS#8, PEM. Kept by whoever asks. */
  readonly privateKeyPem: string;
}

/** A fresh P-256 key and a request signed with it. */
export async function createIdentityRequest(): Promise<IdentityRequest> {
  const { privateKey } = await promisify(generateKeyPair)("ec", { namedCurve: "P-256" });
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const version = Buffer.from([0x02, 0x01, 0x00]);
  const emptyName = Buffer.from([0x30, 0x00]);
  const noAttributes = Buffer.from([0xa0, 0x00]);
  const info = der(0x30, version, emptyName, spki, noAttributes);
  const ecdsaWithSha256 = Buffer.from("300a06082a8648ce3d040302", "hex"); // RFC 5758, section 3.2
  const signature = der(0x03, Buffer.from([0]), sign("sha256", info, privateKey));
  return {
    csrPem: pem("CERTIFICATE REQUEST", der(0x30, info, ecdsaWithSha256, signature)),
    privateKeyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length =
    body.length < 0x80 ? [body.length] : body.length < 0x100 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
