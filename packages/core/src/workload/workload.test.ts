import { Fault } from "@aether/contract";
import { WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compare, type OnRecord } from "../fleet/compare.ts";
import { firstFree, parsePool, requireInPool } from "./address-pool.ts";
import { chooseNode, type NodeOffer } from "./choose-node.ts";
import { parseSpec } from "./spec.ts";

const pool = parsePool("10.77.1.0/24");

describe("the address pool", () => {
  it("gives the lowest free address, never the network's or the broadcast one, until it is empty", () => {
    const used = new Set<string>();
    for (let i = 1; i <= 254; i++) {
      const address = firstFree(pool, used);
      expect(address).toBe(`10.77.1.${i}`);
      used.add(address);
    }
    expect(() => firstFree(pool, used)).toThrow(expect.objectContaining({ code: "NO_TARGET" }));
  });

  it("refuses addresses outside of it, and networks that are none", () => {
    for (const address of ["10.77.1.0", "10.77.1.255", "10.77.2.1", "0.0.0.0"])
      expect(() => requireInPool(pool, address, "f")).toThrow(Fault);
    for (const cidr of ["10.77.1.1/24", "10.77.1.0/31", "10.77.1.0", "x/24", "10.77.1.0/8"]) expect(() => parsePool(cidr)).toThrow(Fault);
  });
});

describe("a spec", () => {
  it("is valid or refused with a field, whatever it holds", () => {
    const text = fc.oneof(fc.string(), fc.constantFrom("", "host", "/", "/a/../b", "oci:/x", "oci:", "a".repeat(300), "\0"));
    fc.assert(
      fc.property(
        fc.record({
          name: text,
          rootfs: text,
          argv: fc.array(text),
          address: text,
          env: fc.dictionary(text, text),
          workingDirectory: text,
          memoryLimitBytes: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
          volumes: fc.array(fc.record({ source: text, destination: text, mode: fc.constantFrom(0, 1, 2) })),
        }),
        (fields) => {
          try {
            const spec = parseSpec(create(WorkloadSpecSchema, fields), pool);
            expect(spec.name).toMatch(/^[a-z0-9-]{1,40}$/);
            expect(spec.argv.length).toBeGreaterThan(0);
          } catch (caught) {
            expect(caught).toBeInstanceOf(Fault);
            expect((caught as Fault).field).toMatch(/^spec/);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("needs no more than a name and a command", () => {
    expect(parseSpec(create(WorkloadSpecSchema, { name: "db", argv: ["redis-server"] }), pool)).toMatchObject({
      rootfs: "host",
      address: "",
      pidsLimit: 4096,
    });
  });

  it("has no limit of processes only where that is asked for", () => {
    const limitOf = (pidsLimit: number) => parseSpec(create(WorkloadSpecSchema, { name: "db", argv: ["x"], pidsLimit }), pool).pidsLimit;
    expect([limitOf(-1), limitOf(16), limitOf(4_194_304)]).toEqual([-1, 16, 4_194_304]);
    expect(() => limitOf(4_194_305)).toThrow(expect.objectContaining({ field: "spec.pids_limit" }));
  });
});

const offer = (id: string, more: Partial<NodeOffer> = {}): NodeOffer => ({
  id,
  isConnected: true,
  isCordoned: false,
  isInterrupted: false,
  runcVersion: "1.1.5",
  canMove: true,
  memoryAvailableBytes: 1000,
  workloadCount: 0,
  ...more,
});

describe("the choice of a node", () => {
  it("prefers a node that can let it go again, then fewer workloads, then more memory", () => {
    const choose = (...nodes: NodeOffer[]) => chooseNode(nodes, { memoryLimitBytes: 0 });
    expect(choose(offer("a", { canMove: false }), offer("b", { workloadCount: 9 }))).toBe("b");
    expect(choose(offer("a", { workloadCount: 1 }), offer("b"))).toBe("b");
    expect(choose(offer("a"), offer("b", { memoryAvailableBytes: 2000 }))).toBe("b");
  });

  it("says of each node why not", () => {
    const nodes = [
      offer("a", { isCordoned: true }),
      offer("b", { isInterrupted: true }),
      offer("c", { memoryAvailableBytes: 5 }),
      offer("d", { isConnected: false }),
    ];
    expect(() => chooseNode(nodes, { memoryLimitBytes: 10 })).toThrow(
      expect.objectContaining({ code: "NO_TARGET", details: expect.objectContaining({ a: "it is cordoned" }) }),
    );
  });
});

describe("what a node has against what is on record", () => {
  const record = (more: Partial<OnRecord> = {}): OnRecord => ({
    name: "db",
    nodeId: "n1",
    epoch: 3,
    state: "running",
    migrationId: undefined,
    ...more,
  });
  const status = (more: object = {}) => ({ name: "db", epoch: 3, phase: "running", migrationId: "", ...more });
  const look = (reported: ReturnType<typeof status>[], ...records: OnRecord[]) =>
    compare("n1", reported, new Map(records.map((entry) => [entry.name, entry])), new Set(["mig-1"])).map(({ kind }) => kind);

  it.each([
    ["agrees", [status()], [record()], []],
    ["lacks one", [], [record()], ["missing"]],
    ["lacks one that is being started", [], [record({ state: "starting" })], []],
    ["lacks one that a migration has in hand", [], [record({ migrationId: "mig-1", state: "migrating" })], []],
    ["has one that nobody knows", [status()], [], ["stale"]],
    ["runs an older copy of one placed elsewhere", [status({ epoch: 2 })], [record({ nodeId: "n2" })], ["stale"]],
    [
      "holds the frozen half of a known migration",
      [status({ epoch: 2, phase: "frozen", migrationId: "mig-1" })],
      [record({ nodeId: "n2" })],
      [],
    ],
    [
      "holds a frozen copy of no known migration",
      [status({ epoch: 2, phase: "frozen", migrationId: "mig-9" })],
      [record({ nodeId: "n2" })],
      ["stale"],
    ],
    ["has one that a person must decide on", [status({ epoch: 2 })], [record({ nodeId: "n2", state: "needs_operator" })], []],
  ])("when the node %s", (_case, reported, records, expected) => {
    expect(look(reported, ...records)).toEqual(expected);
  });
});
