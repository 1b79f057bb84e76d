// The control plane held against its own OpenAPI document by schemathesis: requests made from the document, also wrong ones; no answer may be
// a failure inside, of a status or of a shape that the document does not have. Seeded, so a run can be had again.
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { coreConfig, runCore } from "@aether/core";
import { run, silentLogger } from "@aether/kit";
import { expect, it } from "vitest";

const program = fileURLToPath(new URL("../../.cache/schemathesis/bin/schemathesis", import.meta.url));
/** Streams have no end, and signing out ends what the run is authorized by. */
const left = "/api/v2/events$|:watch$|/logs$|/sign-out$";
/** Operations that it cannot reach as it asks; what asks them otherwise is beside. All others must let it in. */
const elsewhere: Readonly<Record<string, string>> = {
  Access_RevokeToken:
    "it tries ids that it has read, its own token's too, and would be refused from then on (packages/core/src/core.test.ts)",
  Account_ChangePassword: "needs a browser's session (packages/core/src/access/sign-in.test.ts)",
  SignIn_SignIn: "needs a password (packages/core/src/access/sign-in.test.ts)",
  SignIn_RedeemLink: "needs a link's code (packages/core/src/access/sign-in.test.ts)",
  SignIn_CreateFirstAdmin: "needs the first link's code (packages/core/src/access/sign-in.test.ts)",
  Agent_Register: "needs a join token in its body (packages/core/src/identity/identity.test.ts)",
};
/** 503 is an answer: the node that is asked for is known, since its agent was asked for too, and has no session. */
const settings = `[checks]\nnot_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]\n`;
/** With the token of a node; they take half of the time, since their messages are the largest. */
const ofAgents = "^/api/v2/(agent/|ingestion$)";
/** A status for each rule that a schema cannot say (a name that is taken, a window that is too long) is not a breach of it. */
const checks = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_schema_conformance",
  "unsupported_method",
];

it("keeps its OpenAPI document", async (context) => {
  if (!existsSync(program)) context.skip("schemathesis is not installed: python3 -m venv was not there when the machine was prepared");
  const dir = await mkdtemp(join(tmpdir(), "aether-api-"));
  const often = 1e6;
  const core = await runCore(
    coreConfig.parse({
      dataDir: join(dir, "core"),
      http: { port: 0 },
      agents: { host: "127.0.0.1", port: 0 },
      embeddedDatabase: { isDurable: false },
      rateLimit: { perTokenPerSecond: often, perAddressPerSecond: often, burst: often },
    }),
    new AbortController().signal,
    silentLogger,
  );
  try {
    const token = (await readFile(join(dir, "core/admin.token"), "utf8")).trim();
    const url = `http://127.0.0.1:${core.http.port}`;
    const authorization = `Bearer ${token}`;
    const made = await fetch(`${url}/api/v2/tokens`, {
      method: "POST",
      headers: { authorization, "content-type": "application/json" },
      body: JSON.stringify({ name: "node", role: "ROLE_AGENT", nodeId: "asked-of" }),
    });
    const node = (await made.json()) as { secret: string };
    await writeFile(join(dir, "schemathesis.toml"), settings);
    for (const [operation, why] of Object.entries(elsewhere)) console.log(`not asked: ${operation}: ${why}`);
    const options = [
      ["--checks", checks.join(",")],
      ...Object.keys(elsewhere).map((operation) => ["--exclude-operation-id", operation]),
      ["--phases", "examples,coverage,fuzzing"],
      ["--max-examples", "3"],
      ["--seed", "1"],
      ["--request-timeout", "10"],
      ["--no-color"],
      ["--no-shrink"],
      // Its threads share a parser that is not made for it (CPython's ast); two processes do not.
      ["--workers", "1"],
    ].flat();
    const ask = async (bearer: string, paths: readonly string[]) => {
      const asked = ["run", `${url}/openapi.json`, "--header", `Authorization: Bearer ${bearer}`, ...options, ...paths];
      const { code, stdout } = await run(program, asked, { deadlineMs: 300_000, okCodes: [0, 1], cwd: dir });
      const refused = /Authentication failed: [\s\S]*?(?=💡)/.exec(stdout)?.[0] ?? "";
      return code === 0 ? refused : stdout.slice(Math.max(0, stdout.search(/=+ (FAILURES|ERRORS) =+/))).slice(0, 8000);
    };
    const ofPeople = async () => [
      await ask(token, ["--include-path-regex", "^/api/v2/[a-m]", "--exclude-path-regex", `${left}|${ofAgents}`]),
      await ask(token, ["--exclude-path-regex", `^/api/v2/[a-m]|${left}`]),
    ];
    const found = await Promise.all([ask(node.secret, ["--include-path-regex", ofAgents]), ofPeople()]);
    expect(found.flat()).toEqual(["", "", ""]);
    const still = await fetch(`${url}/api/v2/me`, { headers: { authorization } });
    expect(still.status, "the run's own token, at its end").toBe(200);
  } finally {
    await core.stop();
    await rm(dir, { recursive: true, force: true });
  }
}, 330_000);
