import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { merkleTree } from "./merkle.ts";

const sha = (...parts: Uint8Array[]) => createHash("sha256").update(Buffer.concat(parts)).digest();

/** The definition of RFC 6962, section 2.1, word by word. */
function definition(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return sha();
  if (leaves.length === 1) return sha(Buffer.from([0]), leaves[0]!);
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return sha(Buffer.from([1]), definition(leaves.slice(0, k)), definition(leaves.slice(k)));
}

describe("merkleTree", () => {
  it("is the tree of the RFC for every count up to 70, whatever the order", () => {
    for (let count = 0; count <= 70; count++) {
      const leaves = Array.from({ length: count }, (_, i) => `leaf ${String(i).padStart(3, "0")}`);
      const expected = definition(leaves.map((leaf) => Buffer.from(leaf))).toString("hex");
      expect(merkleTree(leaves.toReversed()).root, `${count}`).toBe(expected);
    }
  });
  it("knows the published roots", () => {
    expect(merkleTree([]).root).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(merkleTree([""]).root).toBe("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
  });
  it("orders by bytes, not by UTF-16 units", () => {
    expect(merkleTree(["\u{1f600}", "\uffee"]).leaves).toEqual(["\uffee", "\u{1f600}"]);
  });
});
