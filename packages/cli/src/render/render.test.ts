import { AuditEntrySchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { changesOf, describeEntry } from "./audit.ts";
import { renderFacts, renderTable } from "./table.ts";
import { bytes, duration, word } from "./units.ts";

describe("renderTable", () => {
  const columns = [
    { title: "NAME", cell: (row: string[]) => row[0] ?? "" },
    { title: "SIZE", align: "right" as const, cell: (row: string[]) => row[1] ?? "" },
    { title: "MESSAGE", cell: (row: string[]) => row[2] ?? "" },
  ];
  it("aligns columns and says what to do when there is nothing", () => {
    expect(
      renderTable(
        [
          ["db", "5", "fine"],
          ["cache-long", "12", "ok"],
        ],
        columns,
        80,
        "",
      ),
    ).toBe(["NAME        SIZE  MESSAGE", "db             5  fine", "cache-long    12  ok"].join("\n"));
    expect(renderTable([], columns, 80, "Nothing yet. Type: aether run")).toBe("Nothing yet. Type: aether run");
  });
  it("never draws a line wider than the terminal, never breaks a line, never lets a control character through", () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.string({ unit: "binary" }), { minLength: 3, maxLength: 3 }), { minLength: 1 }),
        fc.integer({ min: 30, max: 200 }),
        (rows, width) => {
          const lines = renderTable(rows, columns, width, "").split("\n");
          expect(lines).toHaveLength(rows.length + 1);
          for (const line of lines) {
            expect([...line].length).toBeLessThanOrEqual(width);
            expect(line).not.toMatch(/\p{Cc}/u);
          }
        },
      ),
    );
  });
});

describe("renderFacts", () => {
  it("leaves out what is not known", () => {
    expect(
      renderFacts([
        ["node", "n1"],
        ["reason", ""],
        ["zone", undefined],
        ["address", "10.77.1.1"],
      ]),
    ).toBe("node     n1\naddress  10.77.1.1");
  });
});

describe("an entry of the audit", () => {
  it("is shown with what it was before and after, and without control characters", () => {
    const data = {
      id: "n1",
      reason: "a\u001b[31mb",
      before: { "node.isCordoned": false },
      after: { "node.isCordoned": true, note: ["x"] },
    };
    const entry = create(AuditEntrySchema, {
      ...{ sequence: 7n, actor: "account/ada", sourceAddress: "10.0.0.9", action: "node.cordon", subject: "node/n1", outcome: "ok" },
      dataJson: JSON.stringify(data),
    });
    expect(changesOf(entry)).toEqual(["node.isCordoned: false -> true", 'note: - -> ["x"]']);
    expect(describeEntry(entry).split("\n").slice(-8)).toEqual(
      [
        "outcome  ok",
        "",
        "Said:",
        "  id: n1",
        "  reason: a?[31mb",
        "",
        "Changed:",
        ...["  node.isCordoned: false -> true", '  note: - -> ["x"]'],
      ].slice(-8),
    );
    expect(changesOf({ dataJson: "{" })).toEqual([]);
  });
});

describe("units", () => {
  it.each([
    [0.04, "40 µs"],
    [12.345, "12.3 ms"],
    [345.6, "346 ms"],
    [999.7, "1.00 s"],
    [1244, "1.24 s"],
    [59_999, "1 min 00 s"],
    [125_000, "2 min 05 s"],
    [12_000_000, "3 h 20 min"],
    [3_599_999, "1 h 00 min"],
    [4 * 86_400_000 + 2 * 3_600_000, "4 d 2 h"],
  ])("%f ms is %s", (ms, text) => expect(duration(ms)).toBe(text));
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1024 * 1024 - 1, "1.0 MiB"],
    [1_288_490_189, "1.2 GiB"],
  ])("%i bytes are %s", (count, text) => expect(bytes(count)).toBe(text));
  it("words an enumeration", () => {
    expect(word({ 11: "ROLLED_BACK" }, 11)).toBe("rolled back");
    expect(word({}, 99)).toBe("unknown");
  });
});
