// The rules for every route, asked of every route that is served: the tables come from the contract, so a new RPC is in them by itself.
import { Fault, Role } from "@aether/contract";
import { GuardService } from "@aether/contract/gen/aether/v2/guard_pb";
import { create, type DescMethodUnary, ScalarType } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isAllowed, roleOf } from "../access/roles.ts";
import { actionName } from "../audit/action-name.ts";
import { type CoreUnderTest, enrol, startCore } from "../testing/core-under-test.ts";
import { isRead } from "./method-facts.ts";
import { type Binding, bindingsOf, resourceOf } from "./rest/bindings.ts";
import { isRawRequest } from "./rest/raw.ts";
import { bodyLimitBytes } from "./rpc-options.ts";

let core: CoreUnderTest;
/** A token of each role that a token can have. */
const tokens = new Map<Role, string>();
let bindings: Binding[];
let unary: DescMethodUnary[];

beforeAll(async () => {
  core = await startCore({ rateLimit: { perTokenPerSecond: 1e6, perAddressPerSecond: 1e6, burst: 1e6 } });
  tokens.set(Role.ADMIN, core.adminToken);
  for (const role of [Role.VIEWER, Role.OPERATOR]) {
    const made = await core.call("POST", "/api/v2/tokens", { name: Role[role].toLowerCase(), role: `ROLE_${Role[role]}` });
    tokens.set(role, made.body.secret);
  }
  bindings = bindingsOf(core.core.services);
  unary = core.core.services.flatMap(({ methods }) => methods).filter((method): method is DescMethodUnary => method.methodKind === "unary");
}, 60_000);
afterAll(() => core.stop());

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;

interface Asked {
  readonly token?: string | undefined;
  readonly body?: string | undefined;
  readonly headers?: Record<string, string>;
}

/** The path names nothing that exists. */
const fieldNamed = ({ method }: Binding, name: string) => method.input.fields.find((field) => field.name === name);
/** The number 1, or a name that nothing has. */
const pathOf = (binding: Binding) =>
  binding.template.replace(/\{([^}]+)\}/g, (_, name: string) => (fieldNamed(binding, name)?.scalar === ScalarType.INT64 ? "1" : "none"));
/** What others send as it suits them; there is no field that could be unknown. */
const takesAnything = (binding: Binding) => fieldNamed(binding, binding.body)?.message?.typeName === "google.protobuf.Struct";
const nameOf = (binding: Binding) => `${binding.verb} ${binding.template}`;

async function ask(verb: string, path: string, { token, body, headers = {} }: Asked = {}) {
  const gone = new AbortController();
  const response = await fetch(core.url + path, {
    method: verb,
    signal: AbortSignal.any([gone.signal, AbortSignal.timeout(20_000)]),
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      traceparent,
      "x-request-id": "mine",
      ...headers,
    },
    ...(body === undefined ? {} : { body }),
  });
  const type = response.headers.get("content-type") ?? "";
  // A stream has no end: its status is what is looked at.
  const isStream = /ndjson|event-stream/.test(type);
  const text = isStream ? "" : await response.text();
  if (isStream) gone.abort();
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: type.startsWith("application/json") && text !== "" ? JSON.parse(text) : undefined,
  };
}

/** What is wrong with an error's shape; undefined: nothing. */
function misshapen({ headers, body, status }: Awaited<ReturnType<typeof ask>>): string | undefined {
  const error = body?.error;
  if (typeof error?.code !== "string" || !/^[A-Z_]+$/.test(error.code)) return `${status}: no code`;
  if (typeof error.message !== "string" || error.message === "") return "no message";
  if (typeof error.hint !== "string" || !error.hint.endsWith(".")) return `no hint: ${error.hint}`;
  if (error.traceId !== traceId) return "another trace id";
  if (!headers.get("traceparent")?.includes(traceId)) return "no traceparent";
  if (headers.get("x-request-id") !== "mine") return "the request's id is not echoed";
  return undefined;
}

/** Asks of each binding, and lists those that answer otherwise than they must. */
async function offenders(these: readonly Binding[], check: (binding: Binding) => Promise<string | undefined>): Promise<string[]> {
  const found: string[] = [];
  for (const binding of these) {
    const problem = await check(binding);
    if (problem !== undefined) found.push(`${nameOf(binding)}: ${problem}`);
  }
  return found;
}

const refused = async (verb: string, path: string, asked: Asked, status: number, code: string) => {
  const answer = await ask(verb, path, asked);
  const shape = misshapen(answer);
  if (answer.status !== status) return `${answer.status} ${answer.text.slice(0, 200)}`;
  if (shape !== undefined) return shape;
  return answer.body.error.code === code ? undefined : answer.body.error.code;
};

const bodyFor = ({ body }: Binding) => (body === "" ? undefined : "{}");
const strongest = (binding: Binding) => (roleOf(binding.method) === Role.NONE ? undefined : core.adminToken);
const forAdmins = () => bindings.filter(({ method }) => isAllowed(roleOf(method), Role.ADMIN));

describe("every REST route", () => {
  it("is served: there are some", () => {
    expect(bindings.length).toBeGreaterThan(30);
  });

  it("refuses who has no credential, and says so in the one shape", async () => {
    const closed = bindings.filter(({ method }) => roleOf(method) !== Role.NONE);
    const found = await offenders(closed, async (binding) => {
      const answer = await ask(binding.verb, pathOf(binding), { body: bodyFor(binding) });
      if (answer.headers.get("www-authenticate") !== "Bearer") return "no WWW-Authenticate";
      return answer.status === 401 ? misshapen(answer) : String(answer.status);
    });
    expect(found).toEqual([]);
  });

  it("refuses each role that is too little, and the refusal is on the audit log", async () => {
    const found: string[] = [];
    for (const [held, token] of tokens) {
      const closed = bindings.filter(({ method }) => !isAllowed(roleOf(method), held));
      found.push(
        ...(await offenders(closed, (binding) =>
          refused(binding.verb, pathOf(binding), { token, body: bodyFor(binding) }, 403, "PERMISSION_DENIED"),
        )),
      );
    }
    expect(found).toEqual([]);
    const { body } = await core.call("GET", "/api/v2/audit?page.pageSize=1000");
    const denied = new Set(
      body.entries.filter((entry: { outcome: string }) => entry.outcome === "denied").map((entry: { subject: string }) => entry.subject),
    );
    const closed = bindings.filter(({ method }) => !isAllowed(roleOf(method), Role.VIEWER)).map(({ method }) => actionName(method));
    expect(closed.filter((name) => !denied.has(name))).toEqual([]);
  });

  it("says which verbs it takes, when asked with another", async () => {
    const found = await offenders(bindings, async (binding) => {
      const path = pathOf(binding);
      const allowed = bindings.filter(({ regexp }) => regexp.test(path)).map(({ verb }) => verb);
      const other = ["DELETE", "PATCH", "PUT"].find((verb) => !allowed.includes(verb)) ?? "PUT";
      const answer = await ask(other, path, { token: core.adminToken });
      if (!allowed.every((verb) => answer.headers.get("allow")?.includes(verb))) return `Allow: ${answer.headers.get("allow")}`;
      return answer.status === 405 && answer.body.error.code === "METHOD_NOT_ALLOWED" ? misshapen(answer) : String(answer.status);
    });
    expect(found).toEqual([]);
  });

  it("answers what does not exist without ever failing inside", async () => {
    const found = await offenders(bindings, async (binding) => {
      const answer = await ask(binding.verb, pathOf(binding), { token: strongest(binding), body: bodyFor(binding) });
      if (answer.status >= 500 && answer.status !== 503) return `${answer.status} ${answer.text}`;
      return answer.status >= 400 ? misshapen(answer) : undefined;
    });
    expect(found).toEqual([]);
  });

  it("names the field that it does not know, in body and query", async () => {
    const named = forAdmins().filter((binding) => !takesAnything(binding));
    const found = await offenders(named, async (binding) => {
      const token = core.adminToken;
      const inBody = binding.body !== "" && !isRawRequest(binding.method);
      const path = inBody ? pathOf(binding) : `${pathOf(binding)}?nonsense=1`;
      const answer = await ask(binding.verb, path, { token, body: inBody ? '{"nonsense":1}' : undefined });
      if (answer.status !== 400) return `${answer.status} ${answer.text}`;
      return answer.body.error.field === "nonsense" ? misshapen(answer) : `field ${answer.body.error.field}`;
    });
    expect(found).toEqual([]);
  });

  it("refuses what is not JSON, what is another type, and what is too much", async () => {
    const token = core.adminToken;
    const withBody = forAdmins().filter(({ body }) => body !== "");
    const found = [
      ...(await offenders(withBody, ({ verb, ...binding }) =>
        refused(verb, pathOf(binding as Binding), { token, body: '{"a":' }, 400, "INVALID_ARGUMENT"),
      )),
      ...(await offenders(withBody, (binding) =>
        refused(
          binding.verb,
          pathOf(binding),
          { token, body: "a=1", headers: { "content-type": "text/plain" } },
          415,
          "UNSUPPORTED_MEDIA_TYPE",
        ),
      )),
      ...(await offenders(withBody, (binding) =>
        refused(binding.verb, pathOf(binding), { token, body: `{"a":"${"x".repeat(bodyLimitBytes)}"}` }, 413, "REQUEST_TOO_LARGE"),
      )),
    ];
    expect(found).toEqual([]);
  });
});

describe("every list", () => {
  it("takes a page size up to 1000 and only its own cursors", async () => {
    const lists = forAdmins().filter(({ method }) => method.input.fields.some(({ name }) => name === "page"));
    expect(lists.length).toBeGreaterThan(8);
    const found = await offenders(lists, async (binding) => {
      const token = core.adminToken;
      for (const [query, field] of [
        ["page.pageSize=1001", "page.pageSize"],
        ["page.pageSize=-1", "page.pageSize"],
        ["page.pageToken=%21%21", "page.pageToken"],
        [`page.pageToken=${Buffer.from("\u0000").toString("base64url")}`, "page.pageToken"],
      ]) {
        const answer = await ask("GET", `${pathOf(binding)}?${query}`, { token });
        // One that lists what belongs to something says first that this does not exist.
        if (answer.status === 404 && binding.variables.length > 0) continue;
        if (answer.status !== 400 || answer.body.error.field !== field) return `${query}: ${answer.status} ${answer.text}`;
      }
      return undefined;
    });
    expect(found).toEqual([]);
  });

  it("goes on where the last page ended, without a row twice or lost", async () => {
    const names = Array.from({ length: 7 }, (_, i) => `page-${i}`);
    for (const name of names) await core.call("POST", "/api/v2/tokens", { name, role: "ROLE_VIEWER" });
    const seen: string[] = [];
    let cursor = "";
    do {
      const { body } = await core.call("GET", `/api/v2/tokens?page.pageSize=3&page.pageToken=${cursor}`);
      seen.push(...body.tokens.map(({ name }: { name: string }) => name));
      cursor = body.nextPageToken;
    } while (cursor !== "");
    expect(new Set(seen).size).toBe(seen.length);
    expect(names.filter((name) => !seen.includes(name))).toEqual([]);
  });
});

describe("every reading", () => {
  it("has an ETag, and answers 304 to who has it already", async () => {
    const reads = forAdmins().filter(({ verb, method }) => verb === "GET" && method.methodKind === "unary");
    let count = 0;
    const found = await offenders(reads, async (binding) => {
      const token = core.adminToken;
      const path = pathOf(binding);
      const first = await ask("GET", path, { token });
      if (first.status !== 200) return undefined;
      count++;
      const tag = first.headers.get("etag");
      if (tag === null || !/^"([\w-]{27}|[\w-]{20}\.[\w-]{20})"$/.test(tag)) return `ETag ${tag}`;
      const again = await ask("GET", path, { token, headers: { "if-none-match": `"other", W/${tag}` } });
      // What changes by itself (a time, a measurement) may have changed in between.
      if (again.status === 200 && again.headers.get("etag") !== tag) return undefined;
      if (again.status !== 304 || again.text !== "") return `${again.status}`;
      const head = await ask("HEAD", path, { token });
      return head.status === 200 && head.text === "" ? undefined : `HEAD ${head.status}`;
    });
    expect(found).toEqual([]);
    expect(count).toBeGreaterThan(8);
  });
});

describe("If-Match", () => {
  it("lets a change through only while the resource is what was read", async () => {
    const token = core.adminToken;
    await enrol(core, "matched");
    const tag = (await ask("GET", "/api/v2/nodes/matched", { token })).headers.get("etag") ?? "";
    const cordon = (headers: Record<string, string>) => ask("POST", "/api/v2/nodes/matched:cordon", { token, body: "{}", headers });
    expect((await cordon({ "if-match": `"older", ${tag}` })).status).toBe(200);
    const [entry] = (await ask("GET", "/api/v2/audit?page.pageSize=1", { token })).body.entries;
    expect([entry.action, entry.subject, entry.outcome, entry.traceId]).toEqual(["node.cordon", "node/matched", "ok", traceId]);
    expect(JSON.parse(entry.dataJson)).toMatchObject({ before: { "node.isCordoned": false }, after: { "node.isCordoned": true } });
    const late = await cordon({ "if-match": tag });
    expect([late.status, late.body.error.code, misshapen(late)]).toEqual([412, "PRECONDITION_FAILED", undefined]);
    expect(late.headers.get("etag")).toBe(late.body.error.details.etag);
    expect((await cordon({ "if-match": late.headers.get("etag") ?? "" })).status).toBe(200);
    expect((await cordon({ "if-match": "*" })).status).toBe(200);
    const missing = await ask("POST", "/api/v2/drills/none:stop", { token, body: "{}", headers: { "if-match": '"x"' } });
    expect(missing.body.error.code).toBe("DRILL_NOT_FOUND");
    const nothing = await ask("POST", "/api/v2/drills", { token, body: "{}", headers: { "if-match": '"x"' } });
    expect([nothing.status, nothing.body.error.field]).toEqual([400, "If-Match"]);
  });

  it("lets one through of those who change an account's role, or a schedule that one calls by its id and the other by its name", async () => {
    const token = core.adminToken;
    const once = async (path: string, asks: readonly (readonly [verb: string, path: string, body: string])[]) => {
      const { headers } = await ask("GET", path, { token });
      const match = { "if-match": headers.get("etag") ?? "" };
      const answers = await Promise.all(asks.map(([verb, at, body]) => ask(verb, at, { token, body, headers: match })));
      return answers.map(({ status }) => status).sort();
    };
    await ask("POST", "/api/v2/accounts", { token, body: '{"name":"grace","role":"ROLE_VIEWER"}' });
    const role = (to: string) => ["PATCH", "/api/v2/accounts/grace", `{"role":"ROLE_${to}"}`] as const;
    expect(await once("/api/v2/accounts/grace", [role("OPERATOR"), role("ADMIN")])).toEqual([200, 412]);
    const [entry] = (await ask("GET", "/api/v2/audit?subject=account/grace&outcome=ok", { token })).body.entries;
    expect(JSON.parse(entry.dataJson)).toMatchObject({ before: { "account.role": "ROLE_VIEWER" } });
    expect((await ask("GET", `/api/v2/audit/${entry.sequence}`, { token })).body.entry).toEqual(entry);
    await ask("DELETE", "/api/v2/accounts/grace", { token });
    const made = await ask("POST", "/api/v2/drill-schedules", {
      token,
      body: '{"name":"often","kind":"DRILL_KIND_NOTICE","everySeconds":86400}',
    });
    const pause = (by: string) => ["POST", `/api/v2/drill-schedules/${by}:pause`, "{}"] as const;
    expect(await once("/api/v2/drill-schedules/often", [pause("often"), pause(made.body.schedule.id)])).toEqual([200, 412]);
    await ask("DELETE", "/api/v2/drill-schedules/often", { token });
  });
});

describe("If-Match on every change of a resource", () => {
  /** Those whose path names nothing, or what is there always: their resource exists. */
  const singletons = () =>
    bindings.filter((each) => each.verb !== "GET" && !each.template.includes("{") && resourceOf(bindings, each) && isAct(each));
  const isAct = ({ method }: Binding) => [Role.OPERATOR, Role.ADMIN].includes(roleOf(method));

  it("is compared, also where the change is of a part", async () => {
    expect(singletons().map(nameOf)).toEqual(
      expect.arrayContaining(["POST /api/v2/guards:pause", "PUT /api/v2/guards/windows", "PATCH /api/v2/retention"]),
    );
    const found = await offenders(singletons(), async (binding) => {
      const headers = { "if-match": '"another"' };
      return refused(
        binding.verb,
        pathOf(binding),
        { token: core.adminToken, body: bodyFor(binding), headers },
        412,
        "PRECONDITION_FAILED",
      );
    });
    expect(found).toEqual([]);
  });

  it("does not make anew what is gone", async () => {
    const asked = { token: core.adminToken, body: '{"settings":{"priority":5}}', headers: { "if-match": '"older"' } };
    expect(await refused("PUT", "/api/v2/policies/gone", asked, 412, "PRECONDITION_FAILED")).toBeUndefined();
    expect((await ask("GET", "/api/v2/policies/gone", { token: core.adminToken })).status).toBe(404);
  });

  it("lets one of many through who have read the same, over every protocol", async () => {
    const windows = (to: string) => ({ windows: [{ days: ["sun"], from: "01:00", to }] });
    const transports = [createConnectTransport({ baseUrl: core.url, httpVersion: "1.1" }), createGrpcTransport({ baseUrl: core.url })];
    const authorization = `Bearer ${core.adminToken}`;
    const tags = await Promise.all(
      transports.map(async (transport) => {
        const { getGuards } = GuardService.method;
        const answer = await transport.unary(getGuards, undefined, undefined, { authorization }, create(getGuards.input));
        return answer.header.get("etag");
      }),
    );
    const rest = (await ask("GET", "/api/v2/guards", { token: core.adminToken })).headers.get("etag") ?? "";
    expect(tags).toEqual([rest, rest]);
    const { setMaintenanceWindows } = GuardService.method;
    const over = (transport: Transport, to: string) =>
      transport
        .unary(
          setMaintenanceWindows,
          undefined,
          undefined,
          { authorization, "if-match": rest },
          create(setMaintenanceWindows.input, windows(to)),
        )
        .then(
          () => 200,
          (caught: unknown) => Fault.from(caught).code,
        );
    const overRest = async (to: string) => {
      const asked = { token: core.adminToken, body: JSON.stringify(windows(to)), headers: { "if-match": rest } };
      const { status, body } = await ask("PUT", "/api/v2/guards/windows", asked);
      return status === 200 ? status : body.error.code;
    };
    const ended = await Promise.all([
      overRest("02:00"),
      ...transports.map((transport, i) => over(transport, `03:0${i}`)),
      overRest("04:00"),
      ...transports.map((transport, i) => over(transport, `05:0${i}`)),
    ]);
    expect(ended.sort()).toEqual([200, ...Array.from({ length: 5 }, () => "PRECONDITION_FAILED")]);
    await ask("PUT", "/api/v2/guards/windows", { token: core.adminToken, body: "{}" });
  });
});

describe("every change", () => {
  it("with an Idempotency-Key is made once: the same body has the same answer, another has 409", async () => {
    const changes = forAdmins().filter(({ verb, method }) => verb !== "GET" && !isRead(method) && roleOf(method) !== Role.NONE);
    expect(changes.length).toBeGreaterThan(15);
    const found = await offenders(changes, async (binding) => {
      const token = core.adminToken;
      const key = { "idempotency-key": `key-${nameOf(binding)}`.replace(/[^\x21-\x7e]/g, "_").slice(0, 128) };
      const [first, again] = [
        await ask(binding.verb, pathOf(binding), { token, body: bodyFor(binding), headers: key }),
        await ask(binding.verb, pathOf(binding), { token, body: bodyFor(binding), headers: key }),
      ];
      if (first.status !== again.status || first.text !== again.text)
        return `${first.status} ${first.text} then ${again.status} ${again.text}`;
      return undefined;
    });
    expect(found).toEqual([]);
    const named = (name: string) =>
      ask("POST", "/api/v2/tokens", {
        token: core.adminToken,
        body: `{"name":"${name}","role":"ROLE_VIEWER"}`,
        headers: { "idempotency-key": "one" },
      });
    const [one, same, other] = [await named("one"), await named("one"), await named("other")];
    expect([one.status, same.status, same.headers.get("idempotent-replayed")]).toEqual([200, 200, "true"]);
    expect(same.body.token).toEqual(one.body.token);
    expect(same.body.secret).toBe("");
    expect([other.status, other.body.error.code]).toEqual([409, "IDEMPOTENCY_KEY_REUSED"]);
  });
});

describe.each([
  ["Connect", () => createConnectTransport({ baseUrl: core.url, httpVersion: "1.1" })],
  ["gRPC", () => createGrpcTransport({ baseUrl: core.url })],
] as const)("every unary method over %s", (_, open) => {
  const problemOf = async (transport: Transport, method: DescMethodUnary, token?: string): Promise<ConnectError | undefined> => {
    const headers = { traceparent, "x-request-id": "mine", ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
    return transport.unary(method, AbortSignal.timeout(20_000), undefined, headers, create(method.input)).then(
      () => undefined,
      (caught: unknown) => ConnectError.from(caught),
    );
  };

  it("asks for the same roles and answers in the same words", async () => {
    const transport = open();
    const found: string[] = [];
    for (const method of unary) {
      const required = roleOf(method);
      for (const [held, token] of [[Role.NONE, undefined] as const, ...tokens]) {
        const problem = await problemOf(transport, method, token);
        const { code } = problem === undefined ? { code: "OK" } : Fault.from(problem);
        const name = `${actionName(method)} as ${Role[held]}: ${code} ${problem?.rawMessage ?? ""}`;
        const expected = isAllowed(required, held) ? undefined : held === Role.NONE ? "UNAUTHENTICATED" : "PERMISSION_DENIED";
        if (expected !== undefined && code !== expected) found.push(name);
        if (expected === undefined && (problem?.code === Code.Internal || problem?.code === Code.Unknown)) found.push(name);
        if (problem !== undefined && (problem.metadata.get("aether-trace-id") !== traceId || !problem.metadata.has("aether-hint"))) {
          found.push(`${name}: no trace id or hint`);
        }
      }
    }
    expect(found).toEqual([]);
  });
});

describe("paths that are not routes", () => {
  it("answer in the same shape: unknown, known for another verb, not HTTP, headers without end", async () => {
    const token = core.adminToken;
    for (const path of ["/nothing", "/api/v2/nothing", "/api/v9/nodes", "/aether.v2.NodeService/Nothing", "/api/v2/nodes/a/b/c"]) {
      expect([path, await refused("GET", path, { token }, 404, "ROUTE_NOT_FOUND")]).toEqual([path, undefined]);
    }
    const health = await ask("DELETE", "/healthz");
    expect([health.status, health.headers.get("allow"), misshapen(health)]).toEqual([405, "GET", undefined]);
    const long = await fetch(`${core.url}/api/v2/nodes`, { headers: { "x-long": "x".repeat(20_000) } });
    expect([long.status, ((await long.json()) as { error: { code: string } }).error.code]).toEqual([431, "REQUEST_TOO_LARGE"]);
    expect((await fetch(`${core.url}/api/v2/nodes/%ff`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(400);
  });
});
