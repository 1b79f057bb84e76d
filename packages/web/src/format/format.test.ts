import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { rank } from "../app/rank.ts";
import { poolName } from "./pool.ts";
import { msOf, utcTime } from "./time.ts";
import { ago, bytes, duration, hours, percent, plural, words } from "./units.ts";

describe("numbers for people", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [1536, "1.5 KiB"],
    [21n << 30n, "21 GiB"],
    [999 * 2 ** 20, "999 MiB"],
  ])("%s bytes are %s", (count, text) => expect(bytes(count)).toBe(text));

  it.each([
    [0, "0 ms"],
    [0.84, "0.8 ms"],
    [42.7, "43 ms"],
    [999.4, "999 ms"],
    [1254, "1.25 s"],
    [59_949, "59.9 s"],
    [125_000, "2 min 5 s"],
    [7_200_000, "2 h"],
    [90_000_000, "1 d 1 h"],
    [-500, "−500 ms"],
    [Number.NaN, "unknown"],
  ])("%s ms are %s", (ms, text) => expect(duration(ms)).toBe(text));

  it.each([
    [0, "0 %"],
    [0.0004, "<0.1 %"],
    [0.034, "3.4 %"],
    [0.5, "50 %"],
  ])("%s is %s", (fraction, text) => expect(percent(fraction)).toBe(text));

  it.each([
    [0, "0 min"],
    [0.01, "1 min"],
    [0.5, "30 min"],
    [2, "2 h"],
    [12_345.67, "12,345.7 h"],
  ])("%s hours are %s", (value, text) => expect(hours(value)).toBe(text));

  it.each([
    ["us-east-1/us-east-1a/m6i.large", "m6i.large/us-east-1a"],
    ["us-east-1/m6i.large", "us-east-1/m6i.large"],
    ["a/b/c", "a/b/c"],
  ])("the pool %s is called %s", (pool, name) => expect(poolName(pool)).toBe(name));

  it("tell how long ago, and how long until", () => {
    expect([ago(0, 500), ago(0, 12_000), ago(0, 300_000), ago(0, 3 * 86_400_000), ago(90_000, 0)]).toEqual([
      "now",
      "12 s ago",
      "5 min ago",
      "3 d ago",
      "in 90 s",
    ]);
  });

  it("count in words", () => {
    expect([plural(1, "node"), plural(2, "process", "processes"), plural(12_345, "node"), words("ROLLED_BACK"), words(undefined)]).toEqual([
      "1 node",
      "2 processes",
      "12,345 nodes",
      "rolled back",
      "unknown",
    ]);
  });
});

it("times keep their fractions, and are told in UTC", () => {
  expect(msOf(timestampFromMs(1_700_000_000_123))).toBe(1_700_000_000_123);
  expect(msOf(undefined)).toBeUndefined();
  expect(utcTime(0)).toBe("1970-01-01 00:00:00.000 UTC");
});

it("what is typed finds a beginning before a word before letters in order", () => {
  const names = ["snapshots", "my-node", "node-1", "anode", "n-o-d-e"];
  expect(rank(names, "node", (name) => name)).toEqual(["node-1", "my-node", "anode", "n-o-d-e"]);
  expect(rank(names, "", (name) => name)).toEqual(names);
  expect(rank(["a.b", "axb"], "a.b", (name) => name)).toEqual(["a.b"]);
});
