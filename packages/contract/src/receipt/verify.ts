// Checks a receipt with nothing but the trust bundle: no node, no control plane, no clock. Each check says what it is and, when it fails, what it found.
// The same code runs in the command line and in the browser.
import { type Manifest, MigrationMode, type Receipt } from "../gen/aether/v2/migration_pb.ts";
import type { SignedStatement } from "../gen/aether/v2/receipt_pb.ts";
import { canonicalJson, countersignedText, payloadTypes, signedBytes } from "./canonical.ts";
import { type Certificate, isIssuedBy, parseCertificate, parsePem } from "./certificate.ts";
import { type CoreFacts, type SectionFact, type StatementFacts, sectionLeaf, type TargetFacts } from "./statement.ts";
import { merkleRoot, type Subtle, sha256Hex } from "./subtle.ts";
import { fromUtf8, toUtf8 } from "./utf8.ts";

export interface ReceiptCheck {
  readonly name: string;
  readonly isPassed: boolean;
  /** What was compared, or what is wrong. */
  readonly detail: string;
}

type Side = keyof typeof payloadTypes;

/** The control plane's own signature is only in receipts of migrations that have ended. */
export async function verifyReceipt(receipt: Receipt, trustBundlePem: string, subtle: Subtle): Promise<ReceiptCheck[]> {
  const checks: ReceiptCheck[] = [];
  const check = async (name: string, work: () => Promise<string>): Promise<void> => {
    try {
      checks.push({ name, isPassed: true, detail: await work() });
    } catch (caught) {
      checks.push({ name, isPassed: false, detail: caught instanceof Error ? caught.message : String(caught) });
    }
  };
  let anchors: Certificate[] = [];
  await check("trust bundle", async () => {
    anchors = parsePem(trustBundlePem);
    if (anchors.length === 0) throw new Error("it holds no certificate");
    return `${anchors.length} certificate${anchors.length === 1 ? "" : "s"}`;
  });
  const said: { source?: StatementFacts; target?: TargetFacts; core?: CoreFacts } = {};
  for (const side of ["source", "target", "core"] as const)
    await check(`${side === "core" ? "control plane" : side}: signature and certificate`, async () => {
      const { facts, signer } = await readStatement(receipt, side, anchors, subtle);
      Object.assign(said, { [side]: facts });
      return `signed by ${signer}`;
    });
  const { source, target, core } = said;
  if (core !== undefined)
    await check("control plane: the receipt is what was signed", async () => {
      requireEqual("sha256", core.receiptSha256, await sha256Hex(subtle, toUtf8(countersignedText(receipt))));
      requireEqual("migration", core.migration, receipt.migrationId);
      return `sha256 ${core.receiptSha256}`;
    });
  if (source !== undefined && target !== undefined) {
    await check("both nodes speak of this move, and of each other", async () => {
      compareIdentity(receipt, source, target);
      return `${source.node} to ${target.node}, epoch ${source.epoch} to ${target.epoch}`;
    });
    await check("what arrived is what left", async () => {
      for (const name of new Set([...source.sections, ...target.sections].map((section) => section.name)))
        requireEqual(name, sectionOf(source, name), sectionOf(target, name));
      requireEqual("root", source.root, target.root);
      return `root ${source.root}`;
    });
    await check("the roots follow from the leaves", async () => {
      requireEqual("root", target.root, await merkleRoot(subtle, target.sections.map(sectionLeaf)));
      return leavesAgree(receipt, target, subtle);
    });
    await check("the receipt says what the nodes have signed", async () => {
      compareShown(receipt, source, target);
      return "digests, freeze, packets and resets";
    });
  }
  await check("every comparison held", async () => {
    const failed = receipt.comparisons.filter(({ isEqual }) => !isEqual).map(({ what }) => what);
    if (failed.length > 0 || !receipt.isWhole || receipt.comparisons.length === 0)
      throw new Error(failed.join(", ") || "the receipt is not whole");
    return `${receipt.comparisons.length} comparisons`;
  });
  return checks;
}

async function readStatement(receipt: Receipt, side: Side, anchors: readonly Certificate[], subtle: Subtle) {
  const found = receipt.statements.filter(({ payloadType }) => payloadType === payloadTypes[side]);
  const [statement] = found;
  if (statement === undefined) throw new Error("there is no statement of it");
  if (found.length > 1) throw new Error("there is more than one statement of it");
  return readSigned(statement, side, anchors, subtle);
}

/**
 * What a statement says, once its signature leads to the bundle. `side` is who must have said it, and `facts.side` says so; everything but
 * "source" and "target" is said by the control plane. Throws an Error in plain words.
 */
export async function readSigned(statement: SignedStatement, side: string, anchors: readonly Certificate[], subtle: Subtle) {
  const text = fromUtf8(statement.payload);
  const facts = JSON.parse(text);
  if (canonicalJson(facts) !== text) throw new Error("the payload is not in canonical form");
  requireEqual("side", facts.side, side);
  requireEqual("version", String(facts.version), "1");
  const chain = statement.certificateChain.map(parseCertificate);
  const [leaf] = chain;
  if (leaf === undefined) throw new Error("it came without a certificate");
  const atMs = Number(facts.signedAtMs);
  await requireChain(chain, anchors, atMs, subtle);
  const uri = leaf.uris[0] ?? "";
  if (leaf.uris.length !== 1 || leaf.isAuthority) throw new Error("the certificate is not that of one workload identity");
  const path = side === "source" || side === "target" ? `/node/${facts.node}` : "/core";
  if (!uri.startsWith("spiffe://") || uri.slice(uri.indexOf("/", "spiffe://".length)) !== path)
    throw new Error(`the certificate is that of ${uri}, not of ${path.slice(1)}`);
  const key = await subtle.importKey("spki", leaf.publicKeyInfo, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]);
  const isSigned = await subtle.verify(
    { name: "ECDSA", hash: "SHA-256" },
    key,
    Uint8Array.from(statement.signature),
    signedBytes(statement.payloadType, statement.payload),
  );
  if (!isSigned) throw new Error(`the signature is not that of ${uri} over these bytes`);
  return { facts, signer: uri };
}

/** From the leaf up to a certificate of the bundle, each valid when the statement says that it was signed. */
async function requireChain(chain: readonly Certificate[], anchors: readonly Certificate[], atMs: number, subtle: Subtle): Promise<void> {
  const requireValid = (certificate: Certificate, what: string) => {
    if (!(certificate.notBeforeMs <= atMs && atMs <= certificate.notAfterMs)) throw new Error(`${what} was not valid when it signed`);
  };
  let [current] = chain;
  for (let depth = 0; current !== undefined && depth < 6; depth++) {
    requireValid(current, depth === 0 ? "the certificate" : "an authority's certificate");
    for (const anchor of anchors)
      if (await isIssuedBy(subtle, current, anchor)) {
        requireValid(anchor, "the trust bundle's certificate");
        if (chain.length > depth + 1) throw new Error("certificates came along that nothing needs");
        return;
      }
    current = chain[depth + 1];
    const below = chain[depth];
    if (current !== undefined && below !== undefined && !(await isIssuedBy(subtle, below, current))) break;
  }
  throw new Error("the certificate does not lead to the trust bundle");
}

function compareIdentity(receipt: Receipt, source: StatementFacts, target: TargetFacts): void {
  for (const each of [source, target]) {
    requireEqual("migration", each.migration, receipt.migrationId);
    requireEqual("workload", each.workload, receipt.workload);
    requireEqual("mode", each.mode, modeName(receipt.mode));
  }
  requireEqual("source node", source.node, receipt.sourceNodeId);
  requireEqual("target node", target.node, receipt.targetNodeId);
  requireEqual("the source's peer", source.peer, target.node);
  requireEqual("the target's peer", target.peer, source.node);
  requireEqual("epoch before", String(source.epoch), String(receipt.epochBefore));
  requireEqual("epoch after", String(target.epoch), String(receipt.epochAfter));
  requireEqual("epochs", String(source.epoch + 1), String(target.epoch));
}

const modeName = (mode: MigrationMode): string => (MigrationMode[mode] ?? "").toLowerCase().replaceAll("_", "-");

const sectionOf = ({ sections }: StatementFacts, name: string): string => {
  const found = sections.find((section) => section.name === name);
  return found === undefined ? "not there" : sectionLeaf(found);
};

async function leavesAgree(receipt: Receipt, target: TargetFacts, subtle: Subtle): Promise<string> {
  let count = 0;
  const leftOut: string[] = [];
  for (const section of target.sections) {
    const given = receipt.leaves.filter((each) => each.section === section.name);
    const [leaves] = given;
    if (given.length !== 1 || leaves === undefined) throw new Error(`${section.name}: there are no leaves`);
    if (leaves.isLeftOut) {
      if (leaves.leaves.length > 0) throw new Error(`${section.name}: leaves that are said to be left out`);
      leftOut.push(section.name);
      continue;
    }
    requireEqual(`${section.name}: leaves`, String(section.leaves), String(leaves.leaves.length));
    requireEqual(`${section.name}: root`, section.root, await merkleRoot(subtle, leaves.leaves));
    count += leaves.leaves.length;
  }
  const names = new Set(target.sections.map(({ name }) => name));
  const stray = receipt.leaves.find(({ section }) => !names.has(section));
  if (stray !== undefined) throw new Error(`${stray.section}: leaves of a section that nobody signed`);
  return `${count} leaves${leftOut.length > 0 ? `; left out, the root alone is compared: ${leftOut.join(", ")}` : ""}`;
}

function compareShown(receipt: Receipt, source: StatementFacts, target: TargetFacts): void {
  compareManifest("left the source", receipt.leftSource, source);
  compareManifest("reached the target", receipt.reachedTarget, target);
  const { network } = receipt;
  const shown: readonly (readonly [string, number | null, number | undefined])[] = [
    ["freeze_ms", target.freezeMs, receipt.freezeMs],
    ["network.packets_held", target.packetsHeld, network?.packetsHeld],
    ["network.packets_replayed", target.packetsReplayed, network?.packetsReplayed],
    ["network.packets_dropped", target.packetsDropped, network?.packetsDropped],
    ["network.resets_sent", sum(source.resetsSent, target.resetsSent), network?.resetsSent],
    ["network.segments_retransmitted", sum(source.segmentsRetransmitted, target.segmentsRetransmitted), network?.segmentsRetransmitted],
  ];
  for (const [name, signed, value] of shown) {
    const isUnknown = receipt.unknown.includes(name);
    if ((signed === null) !== isUnknown)
      throw new Error(`${name}: the nodes say ${signed === null ? "unknown" : signed}, the receipt ${isUnknown ? "unknown" : value}`);
    if (signed !== null) requireEqual(name, String(signed), String(value));
  }
  requireEqual("target_kernel.blackout_ms", known(target.blackoutMs), known(receipt.targetKernel?.blackoutMs));
}

const known = (value: number | null | undefined): string => (value === null || value === undefined ? "unknown" : String(value));

const sum = (a: number | null, b: number | null): number | null => (a === null || b === null ? null : a + b);

function compareManifest(what: string, manifest: Manifest | undefined, facts: StatementFacts): void {
  requireEqual(`${what}: root`, manifest?.root ?? "", facts.root);
  const shown = (manifest?.sections ?? []).map(
    (section): SectionFact => ({ name: section.name, leaves: Number(section.leafCount), root: section.root }),
  );
  requireEqual(`${what}: sections`, shown.map(sectionLeaf).join("; "), facts.sections.map(sectionLeaf).join("; "));
}

function requireEqual(what: string, a: string, b: string): void {
  if (a !== b) throw new Error(`${what}: ${a || "nothing"} is not ${b || "nothing"}`);
}
