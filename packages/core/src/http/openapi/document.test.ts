import { comments } from "@aether/contract/gen/comments";
import { services } from "@aether/contract/gen/services";
import { describe, expect, it } from "vitest";
import { bindingsOf } from "../rest/bindings.ts";
import { openApiDocument } from "./document.ts";

const api = openApiDocument(services, "1.2.3") as any;
const operations = Object.entries<Record<string, any>>(api.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([verb, operation]) => ({ path, verb, operation })),
);

describe("the OpenAPI document", () => {
  it("has every route of the contract, each with a role, a description, an answer and the errors", () => {
    expect(operations.length).toBe(bindingsOf(services).length);
    for (const { path, verb, operation } of operations) {
      const where = `${verb} ${path}`;
      expect(operation.description, where).toBeTruthy();
      expect(operation.summary, where).toBeTruthy();
      expect(["none", "viewer", "operator", "admin", "agent"], where).toContain(operation["x-required-role"]);
      expect(Object.keys(operation.responses), where).toEqual(expect.arrayContaining(["200", "400", "404", "429", "500"]));
      const named = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name);
      const given = operation.parameters.filter((each: any) => each.in === "path").map((each: any) => each.name);
      expect(given, where).toEqual(named);
    }
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("refers to nothing that it does not have", () => {
    const references = [...JSON.stringify(api).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path]) => path ?? "");
    expect(references.length).toBeGreaterThan(300);
    const missing = references.filter((path) => path.split("/").reduce<any>((at, key) => at?.[key], api) === undefined);
    expect([...new Set(missing)]).toEqual([]);
  });

  it("describes messages as ProtoJSON: texts for 64 bits, names for enumerations, no unknown fields", () => {
    const { Event, Node, NodeState, Workload } = api.components.schemas;
    expect(Event.properties.sequence).toMatchObject({ type: "string", format: "int64", description: comments["aether.v2.Event.sequence"] });
    expect(Node.properties.seenAt).toMatchObject({ type: "string", format: "date-time" });
    expect(NodeState.enum).toContain("NODE_STATE_READY");
    expect(Workload.additionalProperties).toBe(false);
    expect(api.components.schemas.CreateTokenResponse.properties.secret.format).toBe("password");
  });

  it("takes path fields out of bodies, puts nested fields into the query, and offers what a change may carry", () => {
    const stop = api.paths["/api/v2/workloads/{name}:stop"].post;
    const body = stop.requestBody.content["application/json"];
    expect(Object.keys(body.schema.properties)).not.toContain("name");
    const names = (operation: any) => operation.parameters.map((each: any) => each.name ?? each.$ref.split("/").at(-1));
    expect(names(stop)).toEqual(["name", "IdempotencyKey", "IfMatch", "Traceparent", "RequestId"]);
    expect(names(api.paths["/api/v2/workloads"].get)).toEqual(
      expect.arrayContaining(["page.pageSize", "page.pageToken", "nodeId", "IfNoneMatch"]),
    );
    expect(names(api.paths["/api/v2/events"].get)).toContain("LastEventId");
    expect(api.paths["/api/v2/agent/register"].post.security).toEqual([]);
  });
});
