import { Fault } from "@aether/contract";
import { DrillService } from "@aether/contract/gen/aether/v2/drill_pb";
import { MigrationService } from "@aether/contract/gen/aether/v2/migration_pb";
import { EventService } from "@aether/contract/gen/aether/v2/signal_pb";
import { WorkloadService } from "@aether/contract/gen/aether/v2/workload_pb";
import type { JsonValue } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Binding, bindingsOf } from "./bindings.ts";
import { compileTemplate } from "./path-template.ts";
import { parseRequest } from "./request-json.ts";

const bindings = bindingsOf([DrillService, EventService, MigrationService, WorkloadService]);
const find = (verb: string, path: string): [Binding, RegExpExecArray] | undefined => {
  for (const binding of bindings) {
    const match = binding.verb === verb ? binding.regexp.exec(path) : null;
    if (match) return [binding, match];
  }
  return undefined;
};
const parse = (verb: string, url: string, body?: JsonValue): object => {
  const { pathname, searchParams } = new URL(url, "http://x");
  const [binding, match] = find(verb, pathname)!;
  return parseRequest(binding, match, searchParams, body);
};

describe("path templates", () => {
  it("capture what the path names, whatever characters it has", () => {
    const { regexp, variables } = compileTemplate("/api/v2/things/{thing.name}:do");
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: "grapheme" }), (name) => {
        fc.pre(name.isWellFormed());
        const match = regexp.exec(`/api/v2/things/${encodeURIComponent(name)}:do`);
        expect(decodeURIComponent(match?.[1] ?? "")).toBe(name);
      }),
    );
    expect(variables).toEqual([["thing", "name"]]);
  });

  it("keep custom verbs, literals and segments apart", () => {
    expect(find("POST", "/api/v2/workloads/db:stop")?.[0].method.name).toBe("StopWorkload");
    expect(find("POST", "/api/v2/workloads/db:migrate")?.[0].method.name).toBe("StartMigration");
    expect(find("GET", "/api/v2/workloads/db/logs")?.[0].method.name).toBe("ReadLogs");
    expect(find("GET", "/api/v2/events:list")?.[0].method.name).toBe("ListEvents");
    expect(find("GET", "/api/v2/events")?.[0].method.name).toBe("WatchEvents");
    for (const path of ["/api/v2/workloads/", "/api/v2/workloads/a/b", "/api/v2/workloadsX", "/api/v2/workloads/db:nope"]) {
      expect(find("POST", path) ?? find("GET", path)).toBeUndefined();
    }
  });

  it("take patterns, and refuse what is not well formed", () => {
    expect(compileTemplate("/v1/{name=nodes/*}").regexp.exec("/v1/nodes/a")?.[1]).toBe("nodes/a");
    expect(compileTemplate("/v1/{name=**}").regexp.exec("/v1/a/b/c")?.[1]).toBe("a/b/c");
    expect(compileTemplate("/a.b+c").regexp.test("/aXb+c")).toBe(false);
    for (const bad of ["/{a", "/{}", "/{A b}"]) expect(() => compileTemplate(bad)).toThrow(Fault);
  });
});

describe("requests", () => {
  it("come together from path, query and body", () => {
    expect(parse("GET", "/api/v2/workloads?page.pageSize=5&page.page_token=abc&node_id=n1")).toMatchObject({
      nodeId: "n1",
      page: { pageSize: 5, pageToken: "abc" },
    });
    expect(parse("DELETE", "/api/v2/workloads/db?force=true")).toMatchObject({ name: "db", force: true });
    expect(parse("POST", "/api/v2/workloads/db:stop", { graceSeconds: 3 })).toMatchObject({ name: "db", graceSeconds: 3 });
    expect(parse("POST", "/api/v2/oracles/demo:report", { requestCount: "7" })).toMatchObject({
      report: { name: "demo", requestCount: 7n },
    });
  });

  it("take the name from the path, not from the body", () => {
    expect(parse("POST", "/api/v2/workloads/db:stop", { name: "other" })).toMatchObject({ name: "db" });
    expect(parse("POST", "/api/v2/oracles/demo:report", { name: "other" })).toMatchObject({ report: { name: "demo" } });
  });

  it.each([
    ["GET", "/api/v2/workloads?bogus=1", undefined, "bogus"],
    ["GET", "/api/v2/workloads?page.bogus=1", undefined, "page.bogus"],
    ["GET", "/api/v2/workloads?node_id=a&node_id=b", undefined, "node_id"],
    ["DELETE", "/api/v2/workloads/db?force=perhaps", undefined, "force"],
    ["POST", "/api/v2/workloads/db:stop?x=1", {}, "x"],
    ["POST", "/api/v2/workloads/%ff:stop", {}, "name"],
    ["POST", "/api/v2/workloads/db:stop", { graceSeconds: "many" }, "grace_seconds"],
    ["POST", "/api/v2/workloads/db:stop", { nope: 1 }, "nope"],
  ])("refuse %s %s and name the field", (verb, url, body, field) => {
    expect(() => parse(verb, url, body)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT", field }));
  });

  it("are a message or INVALID_ARGUMENT, whatever JSON comes", () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.constantFrom("/api/v2/workloads", "/api/v2/workloads/db:exec", "/api/v2/oracles/demo:report"),
        (body, url) => {
          try {
            parse("POST", url, body as JsonValue);
          } catch (caught) {
            expect(caught).toMatchObject({ code: "INVALID_ARGUMENT" });
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
