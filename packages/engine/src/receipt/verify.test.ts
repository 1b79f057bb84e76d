// A receipt as two nodes and a control plane make it, with real certificates: everything that is changed afterwards is found.
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MigrationMode, type Receipt, ReceiptSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import { SignedStatementSchema } from "@aether/contract/gen/aether/v2/receipt_pb";
import { canonicalJson, countersignedText, payloadTypes, receiptText, verifyReceipt } from "@aether/contract/receipt";
import { systemClock } from "@aether/kit";
import { type Authority, type IdentityMaterial, openAuthority, signPayload } from "@aether/kit/identity";
import { clone, create, fromJsonString, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SignedStatement } from "../engine.ts";
import { type Evidence, makeEvidence } from "./evidence.ts";
import { merkleTree } from "./merkle.ts";
import { signStatement, statementFacts } from "./sign.ts";

let dir: string;
let authority: Authority;
let [n1, n2, core]: IdentityMaterial[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-receipt-"));
  authority = await openAuthority(dir, { trustDomain: "test.local", clock: systemClock });
  [n1, n2, core] = await Promise.all(
    ["node/n1", "node/n2", "core"].map((path) => authority.issueMaterial(`spiffe://test.local/${path}`, 3_600_000)),
  );
});
afterAll(() => rm(dir, { recursive: true }));

const evidence = (): Evidence => {
  const files = merkleTree(["layer/ dir 755 0:0 0 -", "layer/a file 644 0:0 1 00"]);
  return makeEvidence(
    [{ name: "pages-1.img", bytes: 8192, sha256: "aa" }],
    { digest: files.root, count: 2, bytes: 1, leaves: files.leaves },
    { processes: ["1 0 redis threads=4"], descriptors: ["1 0 pipe"], connections: ["a b"], sockets: ["a b unread=0"], residentBytes: 1 },
  );
};
const decode = (statement: SignedStatement) => ({
  ...statement,
  payload: Uint8Array.from(Buffer.from(statement.payload, "base64")),
  signature: Uint8Array.from(Buffer.from(statement.signature, "base64")),
  certificateChain: statement.certificateChain.map((each) => Uint8Array.from(Buffer.from(each, "base64"))),
});
const ref = { migrationId: "mig-1", workload: "db", epoch: 4 };
const network = { packetsHeld: 3, packetsReplayed: 3, packetsDropped: 0, resetsSent: 0, segmentsRetransmitted: 1, holdMethod: "queue" };

interface Changes {
  readonly source?: IdentityMaterial;
  readonly arrived?: Evidence;
  readonly freezeMs?: number | null;
  readonly shown?: Partial<Receipt>;
}

function receiptOf({ source = n1!, arrived = evidence(), freezeMs = 81.25, shown = {} }: Changes = {}): Receipt {
  const left = evidence();
  const about = { mode: "stop-and-copy" };
  const counters = { resetsSent: 0, segmentsRetransmitted: 0 };
  const said = statementFacts(source, ref, { ...about, side: "source", peer: "n2", manifest: left.manifest }, counters);
  const target = { ...statementFacts(n2!, ref, { ...about, side: "target", peer: "n1", manifest: arrived.manifest }, network), ...network };
  const manifestOf = ({ manifest }: Evidence) => ({
    root: manifest.root,
    sections: manifest.sections.map(({ name, leafCount, root }) => ({ name, leafCount: BigInt(leafCount), root })),
  });
  const init: MessageInitShape<typeof ReceiptSchema> = {
    ...{ migrationId: "mig-1", workload: "db", sourceNodeId: "n1", targetNodeId: "n2", epochBefore: 4n, epochAfter: 5n },
    ...{ mode: MigrationMode.STOP_AND_COPY, freezeMs: freezeMs ?? 0, isWhole: true, totalMs: 1200, network },
    targetKernel: { source: "ebpf", blackoutMs: 80.5 },
    unknown: freezeMs === null ? ["freeze_ms"] : [],
    leftSource: manifestOf(left),
    reachedTarget: manifestOf(arrived),
    comparisons: [{ what: "images", isEqual: true, source: "1", target: "1" }],
    statements: [
      signStatement(source, said),
      signStatement(n2!, { ...target, side: "target", freezeMs, clockErrorMs: 0.1, blackoutMs: 80.5 }),
    ].map(decode),
    leaves: Object.entries(arrived.leaves).map(([section, leaves]) => ({ section, leaves: [...leaves] })),
  };
  const receipt = Object.assign(create(ReceiptSchema, init), shown);
  const receiptSha256 = createHash("sha256").update(countersignedText(receipt)).digest("hex");
  const facts = { version: 1, side: "core", migration: "mig-1", receiptSha256, signedAtMs: Date.now() };
  const statement = signPayload(core!, payloadTypes.core, canonicalJson(facts));
  return create(ReceiptSchema, { ...receipt, statements: [...receipt.statements, create(SignedStatementSchema, statement)] });
}

const verify = (receipt: Receipt, trust = authority.trustBundlePem) => verifyReceipt(receipt, trust, globalThis.crypto.subtle);
const failed = async (receipt: Receipt, trust?: string) =>
  (await verify(receipt, trust)).filter(({ isPassed }) => !isPassed).map(({ name }) => name);

describe("a receipt", () => {
  it("is verified with nothing but the trust bundle", async () => {
    const checks = await verify(receiptOf());
    expect(checks.filter(({ isPassed }) => !isPassed)).toEqual([]);
    expect(checks.map(({ name }) => name)).toContain("what arrived is what left");
    expect(await failed(receiptOf({ freezeMs: null }))).toEqual([]);
  });

  it("is the same after a way through a file", async () => {
    const text = receiptText(receiptOf());
    const read = fromJsonString(ReceiptSchema, text);
    expect(receiptText(read)).toBe(text);
    expect(await failed(read)).toEqual([]);
  });

  it("shows any flipped byte of its file: it cannot be read, is not as it was written, or a check fails", async () => {
    const text = Buffer.from(receiptText(receiptOf()));
    for (let at = 3; at < text.length; at += 29) {
      const flipped = Buffer.from(text);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 7));
      let read: Receipt;
      try {
        read = fromJsonString(ReceiptSchema, flipped.toString("utf8"));
      } catch {
        continue;
      }
      const isWritten = receiptText(read) === flipped.toString("utf8");
      if (isWritten) expect(await failed(read), `byte ${at}`).not.toEqual([]);
    }
  });

  it("of a move that lost something is not verified, and says what", async () => {
    const other = evidence();
    const arrived = { ...other, manifest: { ...other.manifest, root: "0".repeat(64) } };
    expect(await failed(receiptOf({ arrived }))).toEqual(expect.arrayContaining(["what arrived is what left"]));
  });

  it.each<[string, () => Changes, string]>([
    ["a node signed for another one", () => ({ source: n2! }), "both nodes speak of this move, and of each other"],
    ["the freeze shown is not the one signed", () => ({ shown: { freezeMs: 12 } }), "the receipt says what the nodes have signed"],
    [
      "an unknown number is shown as known",
      () => ({ freezeMs: null, shown: { unknown: [] } }),
      "the receipt says what the nodes have signed",
    ],
    [
      "the blackout is taken away",
      () => ({ shown: { targetKernel: undefined } }) as Changes,
      "the receipt says what the nodes have signed",
    ],
    ["leaves were taken away", () => ({ shown: { leaves: [] } }), "the roots follow from the leaves"],
    ["the epoch is another", () => ({ shown: { epochAfter: 7n } }), "both nodes speak of this move, and of each other"],
  ])("is refused when %s, even where the control plane has signed it", async (_, changes, name) => {
    expect(await failed(receiptOf(changes()))).toContain(name);
  });

  it("needs each statement once, from a certificate that leads to the bundle and was valid", async () => {
    const without = clone(ReceiptSchema, receiptOf());
    without.statements.shift();
    expect(await failed(without)).toContain("source: signature and certificate");
    const stranger = await openAuthority(join(dir, "stranger"), { trustDomain: "test.local", clock: systemClock });
    expect(await failed(receiptOf(), stranger.trustBundlePem)).toEqual(
      expect.arrayContaining([
        "source: signature and certificate",
        "target: signature and certificate",
        "control plane: signature and certificate",
      ]),
    );
    expect(await failed(receiptOf(), "")).toContain("trust bundle");
    const forged = await stranger.issueMaterial("spiffe://test.local/node/n1", 3_600_000);
    expect(await failed(receiptOf({ source: forged }))).toContain("source: signature and certificate");
    const late = await openAuthority(join(dir, "late"), {
      trustDomain: "test.local",
      clock: { ...systemClock, nowMs: () => Date.now() - 86_400_000 },
    });
    const expired = await late.issueMaterial("spiffe://test.local/node/n1", 3_600_000);
    const checks = await verify(receiptOf({ source: expired }), authority.trustBundlePem + late.trustBundlePem);
    expect(checks.find(({ name }) => name.startsWith("source"))).toMatchObject({
      isPassed: false,
      detail: expect.stringContaining("not valid when it signed"),
    });
  });
});
