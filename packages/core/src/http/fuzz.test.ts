// Every route with input that nobody should send: wrong types, unknown and doubled fields, all of Unicode, what is cut short, ten megabytes. It is
// refused or done; it never fails inside, never hangs, and what is refused has changed nothing. Seeded: a failure can be had again.
import { connect, constants } from "node:http2";
import { type DescField, type DescMessage, type DescMethod, type JsonValue, ScalarType } from "@bufbuild/protobuf";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { actionName } from "../audit/action-name.ts";
import { type CoreUnderTest, startCore } from "../testing/core-under-test.ts";
import { type Binding, bindingsOf } from "./rest/bindings.ts";

const seed = Number(process.env.AETHER_FUZZ_SEED ?? 7);
const rounds = Number(process.env.AETHER_FUZZ_ROUNDS ?? 6);
const deadlineMs = 15_000;
const huge = 10 << 20;

let core: CoreUnderTest;
let bindings: Binding[];
let methods: DescMethod[];
/** Its acts would end the run: who signs out, or takes his own token away. */
const left = new Set(["access.revoke-token", "sign-in.sign-out", "agent.session"]);

beforeAll(async () => {
  core = await startCore({ rateLimit: { perTokenPerSecond: 1e6, perAddressPerSecond: 1e6, burst: 1e6 } });
  bindings = bindingsOf(core.core.services).filter(({ method }) => !left.has(actionName(method)));
  methods = core.core.services.flatMap((service) => service.methods).filter((method) => !left.has(actionName(method)));
}, 60_000);
afterAll(() => core.stop());

const nastyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.string({ unit: "grapheme", maxLength: 40 }),
  fc.constantFrom(
    "",
    "\u0000",
    "' or 1=1 --",
    "../../etc/passwd",
    "%00",
    "\uFEFF\u202Edb",
    "A".repeat(70_000),
    "$(reboot)",
    "__proto__",
    "NaN",
    "-1",
    "1e999",
  ),
);
const nastyValue: fc.Arbitrary<JsonValue> = fc.oneof(
  nastyText,
  fc.constantFrom<JsonValue>(null, true, 0, -1, 1e308, 2 ** 53, [], {}, [[[[]]]], "9".repeat(30)),
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<JsonValue>,
);

/** A value of the field's own kind, at its edges. */
function valueFor(field: Pick<DescField, "scalar" | "enum" | "message">, depth: number): fc.Arbitrary<JsonValue> {
  if (field.message !== undefined) {
    if (field.message.typeName.startsWith("google."))
      return fc.constantFrom<JsonValue>("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "yesterday", "3s");
    return depth > 2 ? fc.constant({}) : messageFor(field.message, depth + 1);
  }
  if (field.enum !== undefined) return fc.constantFrom<JsonValue>(...field.enum.values.map(({ name }) => name), 99, "NOT_ONE");
  if (field.scalar === ScalarType.BOOL) return fc.boolean();
  if (field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES) return nastyText;
  return fc.constantFrom<JsonValue>(
    0,
    1,
    -1,
    2 ** 31 - 1,
    2 ** 32 - 1,
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    0.5,
  );
}

function messageFor(type: DescMessage, depth = 0): fc.Arbitrary<JsonValue> {
  const fields = type.fields.map((field): [string, fc.Arbitrary<JsonValue>] => {
    const one = valueFor(field, depth);
    const proper: fc.Arbitrary<JsonValue> =
      field.fieldKind === "list"
        ? fc.array(one, { maxLength: 4 })
        : field.fieldKind === "map"
          ? fc.dictionary(nastyText, one, { maxKeys: 3 })
          : one;
    return [field.jsonName, fc.oneof({ weight: 4, arbitrary: proper }, { weight: 1, arbitrary: nastyValue })];
  });
  return fc.record(Object.fromEntries(fields), { requiredKeys: [] }) as fc.Arbitrary<JsonValue>;
}

const samples = <Value>(arbitrary: fc.Arbitrary<Value>, name: string, count = rounds): Value[] =>
  fc.sample(arbitrary, { seed: seed + [...name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0), numRuns: count });

interface Heard {
  readonly status: number;
  readonly text: string;
}

/** The answer, or why there is none. A stream counts as answered when it begins. */
async function send(
  verb: string,
  path: string,
  body: string | Uint8Array | undefined,
  headers: Record<string, string> = {},
): Promise<Heard> {
  const gone = new AbortController();
  try {
    const response = await fetch(core.url + path, {
      method: verb,
      signal: AbortSignal.any([gone.signal, AbortSignal.timeout(deadlineMs)]),
      headers: {
        authorization: `Bearer ${core.adminToken}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : Buffer.from(body) }),
    });
    const isStream = /ndjson|event-stream|connect\+/.test(response.headers.get("content-type") ?? "");
    const text = isStream ? "" : await response.text();
    if (isStream) gone.abort();
    return { status: response.status, text };
  } catch (caught) {
    const cause = caught instanceof Error && caught.cause instanceof Error ? caught.cause : caught;
    // A server that refuses ten megabytes unread may close before the client has sent them.
    if (cause instanceof Error && "code" in cause && ["EPIPE", "ECONNRESET", "UND_ERR_SOCKET"].includes(String(cause.code)))
      return { status: 413, text: "closed" };
    return { status: 599, text: String(cause) };
  }
}

/** 503 says that a node is not connected here: a true answer. */
const failsInside = ({ status, text }: Heard): boolean => status >= 500 && !(status === 503 && /NODE_NOT_CONNECTED|unavailable/.test(text));

/** What an admin can read of the state, without what changes by itself. */
async function state(): Promise<readonly string[]> {
  const lists = bindings.filter(({ verb, variables, method }) => verb === "GET" && variables.length === 0 && method.methodKind === "unary");
  const kept = lists.filter(
    ({ template }) => !/agent|audit|events|telemetry|sessions|oracles|plan|risk|feeds|prices|savings|diagnostics|dashboard/.test(template),
  );
  const answers = await Promise.all(kept.map(async ({ template }) => `${template} ${(await send("GET", template, undefined)).text}`));
  return answers.map((answer) => answer.replace(/"usedAt":"[^"]*"/g, ""));
}

const withValues = ({ template, variables }: Binding, values: readonly string[]) =>
  variables.reduce((path, _, i) => path.replace(/\{[^}]+\}/, encodeURIComponent((values[i] ?? "x").toWellFormed()) || "x"), template);

describe("REST", () => {
  it("survives values of every kind in every field and path", async () => {
    const found: string[] = [];
    for (const binding of bindings) {
      const name = actionName(binding.method);
      const bodies = samples(messageFor(binding.method.input), name);
      const paths = samples(fc.array(nastyText, { minLength: 2, maxLength: 2 }), name);
      for (const [i, body] of bodies.entries()) {
        const path = withValues(
          binding,
          (paths[i] ?? []).map((text) => text.slice(0, 500)),
        );
        const query = binding.body === "" ? `?${queryOf(body).slice(0, 6000)}` : "";
        const heard = await send(binding.verb, path + query, binding.body === "" ? undefined : JSON.stringify(body));
        if (failsInside(heard))
          found.push(`${binding.verb} ${path}${query} ${JSON.stringify(body).slice(0, 300)}: ${heard.status} ${heard.text}`);
      }
    }
    expect(found).toEqual([]);
  });

  it("refuses what is not a request of its kind, and nothing has changed", async () => {
    const before = await state();
    const found: string[] = [];
    const bad = [
      "{",
      '{"a":',
      "[]",
      "[1,2]",
      '"text"',
      "12",
      "nul",
      "\u0000",
      '{"__proto__":{"x":1}}',
      '{"nonsense":1}',
      "{}}",
      "[".repeat(5000),
      '{"a":{"a":'.repeat(2000),
    ];
    for (const binding of bindings.filter(({ body, verb }) => body !== "" && verb !== "GET")) {
      const path = withValues(binding, []);
      for (const body of bad) {
        const { status, text } = await send(binding.verb, path, body);
        if (status < 400 || status >= 500) found.push(`${binding.verb} ${path} ${body.slice(0, 40)}: ${status} ${text}`);
      }
      const cut = JSON.stringify(samples(messageFor(binding.method.input), path, 1)[0] ?? {});
      const { status } = await send(binding.verb, path, cut.slice(0, -1));
      if (status < 400 || status >= 500) found.push(`${binding.verb} ${path} cut short: ${status}`);
    }
    expect(found).toEqual([]);
    expect(await state()).toEqual(before);
  });

  it("refuses ten megabytes, whatever they are, at once and without a trace", async () => {
    const before = await state();
    const body = new Uint8Array(huge).fill(0x61);
    body.set(Buffer.from('{"name":"'));
    const found: string[] = [];
    for (const binding of bindings.filter(({ verb }) => verb !== "GET")) {
      const { status, text } = await send(binding.verb, withValues(binding, []), body);
      if (status !== 413) found.push(`${binding.verb} ${binding.template}: ${status} ${text.slice(0, 200)}`);
    }
    expect(found).toEqual([]);
    expect(await state()).toEqual(before);
  });

  it("takes a field that is given twice for one, never for a failure", async () => {
    for (const body of ['{"name":"one","name":"two"}', '{"page":{},"page":{}}']) {
      expect((await send("POST", "/api/v2/tokens", body)).status).toBe(400);
    }
    expect((await send("GET", "/api/v2/nodes?page.pageSize=1&page.pageSize=2", undefined)).status).toBe(400);
    expect((await send("GET", `/api/v2/nodes?${"a=1&".repeat(3000)}`, undefined)).status).toBeLessThan(500);
  });
});

describe("Connect", () => {
  it("survives JSON of every kind and bytes that are no message", async () => {
    const found: string[] = [];
    for (const method of methods.filter(({ methodKind }) => methodKind === "unary")) {
      const path = `/${method.parent.typeName}/${method.name}`;
      const bytes = samples(fc.uint8Array({ maxLength: 200 }), path, 3).map((each) => new Uint8Array(each));
      const heard = [
        ...(await Promise.all(
          samples(messageFor(method.input), path, 3).map((body) =>
            send("POST", path, JSON.stringify(body), { "connect-protocol-version": "1" }),
          ),
        )),
        ...(await Promise.all(bytes.map((body) => send("POST", path, body, { "content-type": "application/proto" })))),
        await send("POST", path, "{", {}),
        await send("POST", path, "x", { "content-type": "application/json", "content-encoding": "gzip" }),
      ];
      for (const each of heard) if (failsInside(each)) found.push(`${path}: ${each.status} ${each.text.slice(0, 300)}`);
    }
    expect(found).toEqual([]);
  });

  it("refuses ten megabytes", async () => {
    const body = new Uint8Array(huge).fill(0x20);
    const found: string[] = [];
    // One limit for all of them, before any method is known: some of them show it.
    for (const method of methods.filter(({ methodKind }, i) => methodKind === "unary" && i % 6 === 0)) {
      const { status, text } = await send("POST", `/${method.parent.typeName}/${method.name}`, body);
      // Connect has no status of its own for what is too large: resource_exhausted is 429.
      if (status !== 413 && status !== 429 && !text.includes("permission_denied"))
        found.push(`${method.name}: ${status} ${text.slice(0, 200)}`);
    }
    expect(found).toEqual([]);
  });
});

describe("gRPC", () => {
  it("survives frames that are no message, are cut short, lie about their length, or are ten megabytes", async () => {
    const before = await state();
    const session = connect(core.url);
    const found: string[] = [];
    const frame = (body: Uint8Array, length = body.length) => {
      const out = Buffer.alloc(5 + body.length);
      out.writeUInt32BE(length, 1);
      out.set(body, 5);
      return out;
    };
    try {
      for (const [i, method] of methods.entries()) {
        const path = `/${method.parent.typeName}/${method.name}`;
        const [garbage = new Uint8Array(), ...more] = samples(fc.uint8Array({ minLength: 3, maxLength: 300 }), path, 3);
        const bodies = [
          ...[garbage, ...more].map((each) => frame(each)),
          frame(garbage, garbage.length + 9),
          frame(garbage, 0xffffffff),
          Buffer.from([1, 2]),
        ];
        if (method.methodKind === "unary" && i % 6 === 0) bodies.push(frame(new Uint8Array(huge)));
        for (const body of bodies) {
          const status = await grpc(session, path, body);
          // 2 unknown and 13 internal are failures inside; 13 is also what the protocol demands for a frame that is cut short.
          const isCut = body.length < 5 || body.readUInt32BE(1) !== body.length - 5;
          if (status === 2 || status === -1 || (status === 13 && !isCut))
            found.push(`${path} ${body.subarray(0, 12).toString("hex")} (${body.length}): ${status}`);
        }
      }
    } finally {
      session.close();
    }
    expect(found).toEqual([]);
    expect(await state()).toEqual(before);
  });
});

it("is as well afterwards as before", async () => {
  expect((await core.call("GET", "/readyz")).status).toBe(200);
  expect((await core.call("GET", "/api/v2/audit:verify")).body).toMatchObject({ isIntact: true });
});

/** The status of a call; -1: none came in time. */
function grpc(session: ReturnType<typeof connect>, path: string, body: Uint8Array): Promise<number> {
  return new Promise((resolve) => {
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: path,
      "content-type": "application/grpc",
      te: "trailers",
      authorization: `Bearer ${core.adminToken}`,
    });
    let status: number | undefined;
    const done = (value: number) => {
      clearTimeout(timer);
      resolve(value);
    };
    const timer = setTimeout(() => {
      stream.close(constants.NGHTTP2_CANCEL);
      done(-1);
    }, deadlineMs);
    const take = (headers: Record<string, unknown>) => {
      if (headers["grpc-status"] !== undefined) status = Number(headers["grpc-status"]);
    };
    stream.on("response", (headers) => {
      take(headers);
      // A stream that is open and says nothing is answered: the request was taken.
      if (status === undefined) setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), 20);
    });
    stream.on("trailers", take);
    stream.on("error", () => undefined);
    stream.on("close", () => done(status ?? 0));
    stream.resume();
    stream.end(body);
  });
}

/** Leaves as a query, with whatever they hold. */
function queryOf(value: JsonValue, prefix = ""): string {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return `${encodeURIComponent(prefix)}=${encodeURIComponent(String(value).slice(0, 300).toWellFormed())}`;
  return Object.entries(value)
    .map(([key, inner]) => queryOf(inner, prefix === "" ? key.toWellFormed() : `${prefix}.${key.toWellFormed()}`))
    .join("&");
}
