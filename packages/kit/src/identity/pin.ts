// First contact: a node that knows nothing but a pin learns the authority's certificate from the server that claims to have it.
// The chain's root must have the pinned key and must have signed the server's certificate; after that, ordinary verification takes over.
import { createHash, X509Certificate } from "node:crypto";
import tls from "node:tls";
import { fault } from "@aether/contract";
import { withDeadline } from "../wait.ts";
import { handshakeProblem } from "./tls.ts";

/** sha256 of a certificate's SubjectPublicKeyInfo, base64url (the form of RFC 7469, with the URL alphabet). */
export function spkiPin(certificatePem: string): string {
  const spki = new X509Certificate(certificatePem).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(spki).digest("base64url");
}

export interface PinnedContact {
  readonly host: string;
  readonly port: number;
  readonly pin: string;
  readonly deadlineMs: number;
  /** Of the server; the connection carries nothing but the handshake. */
  readonly alpn?: readonly string[];
}

/**
 * Asks a server for its chain and returns the root as a trust bundle when it matches the pin. Nothing is sent to the server but the
 * handshake: connect again with this bundle (`connectMutualTls`, `secureClientOptions`), and only then send a secret.
 * Throws IDENTITY_REJECTED (another root, no root in the chain, a leaf that the root did not sign), UNAVAILABLE, DEADLINE_EXCEEDED.
 */
export function pinnedTrust(contact: PinnedContact, outer?: AbortSignal): Promise<{ readonly trustBundlePem: string }> {
  const { host, port, pin, deadlineMs } = contact;
  return withDeadline(
    `the handshake with ${host}:${port}`,
    deadlineMs,
    (signal) =>
      new Promise((resolve, reject) => {
        const socket = tls.connect({
          host,
          port,
          minVersion: "TLSv1.3",
          rejectUnauthorized: false, // the bundle to verify with is what we came for; chosenRoot verifies
          ...(contact.alpn === undefined ? {} : { ALPNProtocols: [...contact.alpn] }),
        });
        const abort = () => socket.destroy();
        signal.addEventListener("abort", abort, { once: true });
        socket.on("error", (cause) => reject(fault("UNAVAILABLE", `cannot reach ${host}:${port}: ${handshakeProblem(cause)}`, { cause })));
        socket.on("close", () => {
          signal.removeEventListener("abort", abort);
          reject(fault("UNAVAILABLE", `${host}:${port} closed the connection during the handshake`));
        });
        socket.on("secureConnect", () => {
          try {
            resolve({ trustBundlePem: rootWithPin(socket, pin) });
          } catch (caught) {
            reject(caught);
          }
          socket.destroy();
        });
      }),
    outer,
  );
}

function rootWithPin(socket: tls.TLSSocket, pin: string): string {
  const leaf = socket.getPeerX509Certificate();
  if (leaf === undefined) throw fault("IDENTITY_REJECTED", "the server showed no certificate");
  let root: X509Certificate = leaf;
  for (let depth = 0; depth < 8; depth++) {
    const issuer: X509Certificate | undefined = root.issuerCertificate;
    if (issuer === undefined || issuer.fingerprint256 === root.fingerprint256) break;
    if (!issuer.ca || !root.checkIssued(issuer) || !root.verify(issuer.publicKey))
      throw fault("IDENTITY_REJECTED", "a certificate of the server's chain is not signed by the next one");
    root = issuer;
  }
  if (root === leaf || !root.ca || !root.verify(root.publicKey))
    throw fault("IDENTITY_REJECTED", "the server's chain does not end in an authority of its own");
  const rootPem = root.toString();
  if (spkiPin(rootPem) !== pin)
    throw fault("IDENTITY_REJECTED", "the server's authority is not the one that the join token names", {
      hint: "The address may lead to another installation, or somebody is in between. Make a new join token on the control plane that you mean.",
    });
  return rootPem;
}
