import { describe, expect, it } from "vitest";
import { parseEnvironment, parseHealth, parseLabels, parseVolume } from "./workload-flags.ts";

describe("--health", () => {
  it.each([
    ["tcp:6379", { case: "tcpPort", value: 6379 }],
    ["http:http://10.77.1.1:8080/ready", { case: "httpUrl", value: "http://10.77.1.1:8080/ready" }],
    ["http://:8080/ready", { case: "httpUrl", value: "http://:8080/ready" }],
    ["exec:redis-cli  ping", { case: "exec", value: { argv: ["redis-cli", "ping"] } }],
  ])("reads %s", (text, kind) => expect(parseHealth(text)).toEqual({ kind }));
  it.each(["", "tcp", "tcp:", "tcp:0", "tcp:65536", "tcp:x", "udp:1", "exec:", "exec: ", "http:", "https://x/", "http:https://x/"])(
    "refuses %j",
    (text) => {
      expect(() => parseHealth(text)).toThrowError(expect.objectContaining({ code: "INVALID_ARGUMENT", field: "health" }));
    },
  );
});

describe("--volume", () => {
  it("reads both modes", () => {
    expect(parseVolume("/a:/b:shared")).toEqual({ source: "/a", destination: "/b", mode: 1 });
    expect(parseVolume("/a:/b:sync")).toEqual({ source: "/a", destination: "/b", mode: 2 });
  });
  it.each(["/a:/b", "a:/b:sync", "/a:b:sync", "/a:/:sync", "/a:/b:copy", "/a:/b:sync:x", ""])("refuses %j", (text) => {
    expect(() => parseVolume(text)).toThrowError(expect.objectContaining({ code: "INVALID_ARGUMENT", field: "volume" }));
  });
});

describe("--env", () => {
  it("keeps every = after the first", () => {
    expect(parseEnvironment(["A=1", "B=x=y", "C="])).toEqual({ A: "1", B: "x=y", C: "" });
  });
  it.each([["A"], ["=1"], ["1A=2"], ["A B=1"], ["A=1", "A=2"]])("refuses %j", (...entries) => {
    expect(() => parseEnvironment(entries)).toThrowError(expect.objectContaining({ code: "INVALID_ARGUMENT", field: "env" }));
  });
});

describe("--label", () => {
  it("reads names and values", () => expect(parseLabels(["tier=db", "team=a/b"])).toEqual({ tier: "db", team: "a/b" }));
  it.each([["tier"], ["=db"], ["a b=c"], ["a=1", "a=2"]])("refuses %j", (...entries) => {
    expect(() => parseLabels(entries)).toThrowError(expect.objectContaining({ code: "INVALID_ARGUMENT", field: "label" }));
  });
});
