import { createPublicKey, X509Certificate } from "node:crypto";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createManualClock } from "../clock.ts";
import { type Authority, openAuthority } from "./authority.ts";
import { spkiPin } from "./pin.ts";
import { createIdentityRequest } from "./request.ts";

const hour = 3_600_000;
let dir: string;
let authority: Authority;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-authority-"));
  authority = await openAuthority(join(dir, "ca"), { trustDomain: "aether.local" });
});
afterAll(() => rm(dir, { recursive: true, force: true }));

describe("the authority", () => {
  it("keeps its key to itself, and is the same one after a restart", async () => {
    expect(await readdir(join(dir, "ca"))).toEqual(["authority.pem"]);
    expect((await stat(join(dir, "ca", "authority.pem"))).mode & 0o777).toBe(0o600);
    const again = await openAuthority(join(dir, "ca"), { trustDomain: "aether.local" });
    expect(again.trustBundlePem).toBe(authority.trustBundlePem);
    expect(again.spkiPin()).toBe(authority.spkiPin());
    expect(again.spkiPin()).toBe(spkiPin(authority.trustBundlePem));
    const { csrPem } = await createIdentityRequest();
    const { certificateChainPem } = await again.issue(csrPem, "spiffe://aether.local/node/n1", hour);
    expect(new X509Certificate(certificateChainPem).verify(new X509Certificate(authority.trustBundlePem).publicKey)).toBe(true);
  });

  it("issues what an X.509-SVID must be, for the request's key", async () => {
    const clock = createManualClock();
    const other = await openAuthority(join(dir, "clocked"), { trustDomain: "aether.local", clock });
    const { csrPem, privateKeyPem } = await createIdentityRequest();
    const issued = await other.issue(csrPem, "spiffe://aether.local/node/n1", hour);
    const leaf = new X509Certificate(issued.certificateChainPem);
    expect(leaf.subjectAltName).toBe("URI:spiffe://aether.local/node/n1");
    expect(leaf.ca).toBe(false);
    expect(leaf.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]); // server and client authentication
    expect(leaf.validFromDate.getTime()).toBe(clock.nowMs() - 60_000);
    expect(leaf.validToDate.getTime()).toBe(clock.nowMs() + hour);
    expect(issued.expiresAtMs).toBe(clock.nowMs() + hour);
    expect(leaf.publicKey.equals(createPublicKey(privateKeyPem))).toBe(true);
    expect(leaf.serialNumber.toLowerCase()).toBe(issued.serialNumber);
    const root = new X509Certificate(issued.trustBundlePem);
    expect(root.ca && leaf.checkIssued(root) && leaf.verify(root.publicKey)).toBe(true);
    expect(issued.certificateChainPem.endsWith(issued.trustBundlePem)).toBe(true);
  });

  it("never outlives its root", async () => {
    const clock = createManualClock();
    const old = await openAuthority(join(dir, "old"), { trustDomain: "aether.local", clock });
    clock.advance(10 * 365 * 86_400_000 - 5000);
    const { expiresAtMs } = await old.issueMaterial("spiffe://aether.local/core", hour);
    expect(expiresAtMs).toBe(new X509Certificate(old.trustBundlePem).validToDate.getTime());
  });

  it("refuses a request that was altered after it was signed", async () => {
    const [mine, theirs] = [await createIdentityRequest(), await createIdentityRequest()];
    const der = (pem: string) => Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64");
    const forged = der(mine.csrPem);
    const keyOf = createPublicKey(theirs.privateKeyPem).export({ type: "spki", format: "der" });
    forged.set(keyOf, forged.indexOf(createPublicKey(mine.privateKeyPem).export({ type: "spki", format: "der" })));
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${forged.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
    await expect(authority.issue(pem, "spiffe://aether.local/node/n1", hour)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      field: "csrPem",
    });
  });

  it.each(["", "hello", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"])(
    "refuses what is no request: %j",
    async (csrPem) => {
      await expect(authority.issue(csrPem, "spiffe://aether.local/node/n1", hour)).rejects.toMatchObject({ field: "csrPem" });
    },
  );

  it.each(["spiffe://elsewhere/node/n1", "spiffe://aether.local", "node/n1"])("refuses the ID %s", async (spiffeId) => {
    const { csrPem } = await createIdentityRequest();
    await expect(authority.issue(csrPem, spiffeId, hour)).rejects.toMatchObject({ code: "INVALID_ARGUMENT", field: "spiffeId" });
  });

  it.each([0, 999, -1, Number.NaN, 31 * 86_400_000])("refuses a lifetime of %d ms", async (ttlMs) => {
    const { csrPem } = await createIdentityRequest();
    await expect(authority.issue(csrPem, "spiffe://aether.local/core", ttlMs)).rejects.toMatchObject({ field: "ttlMs" });
  });

  it("does not open a directory of another trust domain, or a damaged one", async () => {
    await expect(openAuthority(join(dir, "ca"), { trustDomain: "elsewhere" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await writeFile(join(dir, "authority.pem"), "half a ke");
    await expect(openAuthority(dir, { trustDomain: "aether.local" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(openAuthority(join(dir, "new"), { trustDomain: "Not A Domain" })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});
