import { Role } from "@aether/contract";
import { SignInService } from "@aether/contract/gen/aether/v2/account_pb";
import { NodeService } from "@aether/contract/gen/aether/v2/node_pb";
import { services } from "@aether/contract/gen/services";
import type { DescService } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { actionName } from "../audit/action-name.ts";
import { isRead } from "../http/method-facts.ts";
import { bindingsOf } from "../http/rest/bindings.ts";
import { accountName, roleOf as roleFromGroups, wayBack } from "./oidc.ts";
import { createRateLimit } from "./rate-limit.ts";
import { isAllowed, requireRoles, roleOf } from "./roles.ts";

const methods = services.flatMap((service) => service.methods);

describe("roles", () => {
  it("are named by every method of every service of the contract", () => {
    expect(() => requireRoles(services)).not.toThrow();
    const bare = { ...NodeService, methods: [{ ...NodeService.methods[0], proto: { options: undefined } }] };
    expect(() => requireRoles([bare as unknown as DescService])).toThrow(/names no role/);
  });

  it("leave only the registration and the sign-in open, and what changes something closed to viewers, but for what is their own", () => {
    const open = methods.filter((method) => roleOf(method) === Role.NONE && method.parent !== SignInService);
    expect(open.map(actionName)).toEqual(["agent.register"]);
    const changing = bindingsOf(services).filter(({ method }) => !isRead(method) && roleOf(method) === Role.VIEWER);
    expect(changing.map(({ method }) => actionName(method))).toEqual(["account.change-password", "account.revoke-session"]);
  });

  it("are ordered, and agents stand apart", () => {
    const all = [Role.NONE, Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.AGENT];
    const table = Object.fromEntries(
      all.map((required) => [Role[required], all.filter((held) => isAllowed(required, held)).map((held) => Role[held])]),
    );
    expect(table).toEqual({
      NONE: ["NONE", "VIEWER", "OPERATOR", "ADMIN", "AGENT"],
      VIEWER: ["VIEWER", "OPERATOR", "ADMIN"],
      OPERATOR: ["OPERATOR", "ADMIN"],
      ADMIN: ["ADMIN"],
      AGENT: ["AGENT"],
    });
    for (const held of all) expect(isAllowed(Role.UNSPECIFIED, held)).toBe(false);
  });
});

describe("the rate limit", () => {
  it("lets a burst through, then the rate, and says how long to wait", () => {
    let now = 0;
    const limit = createRateLimit(2, 3, () => now);
    expect([1, 2, 3, 4].map(() => limit.take("a"))).toEqual([0, 0, 0, 1]);
    expect(limit.take("b")).toBe(0);
    now = 500;
    expect([limit.take("a"), limit.take("a")]).toEqual([0, 1]);
  });

  it("takes the addresses of one IPv6 network for one, and remembers no more than a number of them", () => {
    const limit = createRateLimit(1, 1, () => 0);
    expect(["2001:db8::1", "2001:db8:0:0:9::2", "2001:db8::a:b:c:d"].map((address) => limit.take(address))).toEqual([0, 1, 1]);
    expect(["2001:db8:0:1::1", "2001:db8:1::1", "::1", "10.0.0.1"].map((address) => limit.take(address))).toEqual([0, 0, 0, 0]);
    for (let i = 0; i < 10_000; i++) limit.take(`10.1.${i >> 8}.${i & 255}`);
    expect(limit.take("10.1.39.15"), "the last one is remembered").toBe(1);
    expect(limit.take("10.0.0.1"), "one of long ago is not").toBe(0);
  });
});

describe("an account that a provider vouches for", () => {
  it("has the highest role of its groups, and none without one", () => {
    const roles = { admin: ["root"], operator: ["sre", "ops"], viewer: ["all"] };
    expect([
      roleFromGroups(["all", "ops"], roles),
      roleFromGroups("root", roles),
      roleFromGroups(["x"], roles),
      roleFromGroups({}, roles),
    ]).toEqual(["operator", "admin", undefined, undefined]);
  });
  it("has a name in our form", () => {
    expect([accountName(["Grace.Hopper@example.com"]), accountName([undefined, "", "@@@", "ünïx user"]), accountName([])]).toEqual([
      "grace.hopper",
      "n-x-user",
      "somebody",
    ]);
  });
});

describe("the way back after a sign-in elsewhere", () => {
  it("is the address that was wanted", () => {
    expect(wayBack("/nodes?q=a%20b&sort=-cpu")).toBe("/nodes?q=a%20b&sort=-cpu");
  });
  it.each([
    null,
    "",
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "/\t/evil.example",
    "/auth/oidc/start",
    "/api/v2/me",
    `/${"a".repeat(1000)}`,
    "/..//evil.example",
    "/a\r\nset-cookie: x",
  ])("is the overview for %j", (wanted) => {
    expect(wayBack(wanted)).toBe("/");
  });
});
