import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Authority, openAuthority } from "./authority.ts";
import { createSignatureCheck, createSigner, type SignedContent } from "./signed-bytes.ts";
import type { IdentityMaterial } from "./source.ts";

let dir: string;
let authority: Authority;
let core: IdentityMaterial;
let node: IdentityMaterial;
let foreign: IdentityMaterial;
const spiffeId = "spiffe://test.local/core";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-sign-"));
  authority = await openAuthority(dir, { trustDomain: "test.local" });
  const other = await openAuthority(join(dir, "other"), { trustDomain: "test.local" });
  core = await authority.issueMaterial(spiffeId, 60_000);
  node = await authority.issueMaterial("spiffe://test.local/node/n1", 60_000);
  foreign = await other.issueMaterial(spiffeId, 60_000);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const content = new TextEncoder().encode("do this");
const check = () => createSignatureCheck(() => ({ trustBundlePem: authority.trustBundlePem, spiffeId }));

it("knows what the control plane said, also after its certificate was renewed", async () => {
  const of = check();
  const signer = createSigner(() => core);
  expect(of(signer("command", content), "command")).toEqual(content);
  core = await authority.issueMaterial(spiffeId, 60_000);
  expect(of(signer("command", content), "command")).toEqual(content);
});

it("refuses every byte that was changed, another purpose, another signer", () => {
  const signed = createSigner(() => core)("command", content);
  const flip = (bytes: Uint8Array, at: number) => Uint8Array.from(bytes, (byte, i) => (i === at ? byte ^ 1 : byte));
  const forged: [string, SignedContent][] = [
    ...Array.from(content, (_, i): [string, SignedContent] => [`content ${i}`, { ...signed, content: flip(signed.content, i) }]),
    ["signature", { ...signed, signature: flip(signed.signature, signed.signature.length - 1) }],
    ["no signature", { ...signed, signature: new Uint8Array() }],
    ["no certificate", { ...signed, certificate: new Uint8Array() }],
    ["a node's", createSigner(() => node)("command", content)],
    ["another authority's", createSigner(() => foreign)("command", content)],
    ["for another use", createSigner(() => core)("reflex-plan", content)],
  ];
  for (const [what, each] of forged)
    expect(() => check()(each, "command"), what).toThrow(expect.objectContaining({ code: "IDENTITY_REJECTED" }));
});
