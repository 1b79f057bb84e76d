// What every RPC of the contract must have, also one that is added tomorrow: each failure names the method and what it lacks.
import { Role } from "@aether/contract";
import { CreateTokenResponseSchema } from "@aether/contract/gen/aether/v2/access_pb";
import { comments } from "@aether/contract/gen/comments";
import { http as httpOption } from "@aether/contract/gen/google/api/annotations_pb";
import { services } from "@aether/contract/gen/services";
import { create, type DescMessage, type DescMethod, getOption, hasOption, ScalarType } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { roleOf } from "../access/roles.ts";
import { actionName } from "../audit/action-name.ts";
import { isRead } from "./method-facts.ts";
import { carriesSecret, isSecret, withoutSecrets } from "./redact.ts";
import { bindingsOf } from "./rest/bindings.ts";

const methods = services.flatMap((service) => service.methods);
const named = (found: readonly DescMethod[]) => found.map(actionName);
const fieldNamed = (message: DescMessage, name: string) => message.fields.find((field) => field.name === name);

describe("every RPC of the contract", () => {
  it("names the role that it demands", () => {
    expect(named(methods.filter((method) => roleOf(method) === Role.UNSPECIFIED))).toEqual([]);
  });

  it("says in a comment what it does: it is the API reference", () => {
    expect(named(methods.filter((method) => comments[`${method.parent.typeName}.${method.name}`] === undefined))).toEqual([]);
    expect(services.filter((service) => comments[service.typeName] === undefined).map(({ name }) => name)).toEqual([]);
  });

  it("has a REST route, unless it needs a stream of requests or a node's certificate", () => {
    const needs = methods.filter(({ methodKind }) => methodKind === "unary" || methodKind === "server_streaming");
    const without = needs.filter((method) => roleOf(method) !== Role.AGENT && !hasOption(method, httpOption));
    expect(named(without)).toEqual([]);
    expect(() => bindingsOf(services)).not.toThrow();
  });

  it("has routes under /api/v2, but for those that are promised elsewhere", () => {
    const elsewhere = bindingsOf(services).filter(({ template }) => !template.startsWith("/api/v2/"));
    expect(elsewhere.map(({ verb, template }) => `${verb} ${template}`)).toEqual(["POST /analyze"]);
  });

  it("pages its list with a cursor, unless the list is bounded by what it is", () => {
    // Sign-in methods, feeds, oracles and the pools of the fleet's own nodes are configured one by one, acts are a closed set: there are never many.
    const bounded = new Set([
      "sign-in.list-sign-in-methods",
      "feed.list-feeds",
      "drill.list-oracles",
      "price.list-pools",
      "runbook.list-runbook-acts",
    ]);
    const unpaged = methods.filter(
      ({ name, input, output }) =>
        name.startsWith("List") &&
        !(fieldNamed(input, "page")?.message?.typeName === "aether.v2.PageRequest" && fieldNamed(output, "next_page_token") !== undefined),
    );
    expect(named(unpaged).filter((name) => !bounded.has(name))).toEqual([]);
  });

  it("answers a GET of one resource with that resource, so that its ETag is the resource's", () => {
    const single = methods.filter((method) => isRead(method) && method.name.startsWith("Get") && method.methodKind === "unary");
    const odd = single.filter(({ output }) => output.fields.length === 0);
    expect(named(odd)).toEqual([]);
  });

  it("sends what it changes with POST, PATCH, PUT or DELETE", () => {
    const wrong = methods.filter(
      (method) =>
        hasOption(method, httpOption) &&
        getOption(method, httpOption).pattern.case === "get" &&
        !/^(Get|List|Watch|Read|Verify|Download|Explain|Poll)/.test(method.name),
    );
    expect(named(wrong)).toEqual([]);
  });
});

describe("secrets", () => {
  it("are marked in the contract wherever a field is named like one", () => {
    const unmarked = new Set<string>();
    const seen = new Set<DescMessage>();
    const look = (type: DescMessage) => {
      if (seen.has(type)) return;
      seen.add(type);
      for (const field of type.fields) {
        if (field.message !== undefined) look(field.message);
        const isNamedSo = field.scalar === ScalarType.STRING && /(^|_)(password|secret|join_token|private_key)$/.test(field.name);
        if (isNamedSo && !isSecret(field)) unmarked.add(`${type.typeName}.${field.name}`);
      }
    };
    for (const { input, output } of methods) {
      look(input);
      look(output);
    }
    expect([...unmarked]).toEqual([]);
  });

  it("are cut out of a copy at any depth", () => {
    const message = create(CreateTokenResponseSchema, { secret: "at_x", token: { name: "ci" } });
    expect(withoutSecrets(CreateTokenResponseSchema, message)).toMatchObject({ secret: "", token: { name: "ci" } });
    expect(message.secret).toBe("at_x");
    expect(carriesSecret(CreateTokenResponseSchema)).toBe(true);
  });
});
