// The control plane held against its own OpenAPI document by schemathesis: requests made from the document, also wrong ones; no answer may be
// a failure inside, of a status or of a shape that the document does not have. Seeded, so a run can be had again.
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { coreConfig, runCore } from "@aether/core";
import { run, silentLogger } from "@aether/kit";
import { expect, it } from "vitest";

const program = fileURLToPath(new URL("../../.cache/schemathesis/bin/schemathesis", import.meta.url));
/** Streams have no end, and signing out ends what the run is authorized by. */
const left = "/api/v2/events$|:watch$|/logs$|/sign-out$";
/** It tries ids that it has read in answers, and its own token's is one of them: all that came after would be refused at the door. */
const revoking = "Access_RevokeToken";
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
    const address = `http://127.0.0.1:${core.http.port}/openapi.json`;
    const options = [
      ["--header", `Authorization: Bearer ${token}`],
      ["--checks", checks.join(",")],
      ["--exclude-operation-id", revoking],
      ["--phases", "examples,coverage,fuzzing"],
      ["--max-examples", "3"],
      ["--seed", "1"],
      ["--request-timeout", "10"],
      ["--no-color"],
      ["--no-shrink"],
      // Its threads share a parser that is not made for it (CPython's ast); two processes do not.
      ["--workers", "1"],
    ].flat();
    const half = async (paths: readonly string[]) => {
      const asked = ["run", address, ...options, ...paths];
      const { code, stdout } = await run(program, asked, { deadlineMs: 300_000, okCodes: [0, 1], cwd: dir });
      return code === 0 ? "" : stdout.slice(Math.max(0, stdout.search(/=+ (FAILURES|ERRORS) =+/))).slice(0, 8000);
    };
    const halves = [
      ["--include-path-regex", "^/api/v2/[a-m]", "--exclude-path-regex", left],
      ["--exclude-path-regex", `^/api/v2/[a-m]|${left}`],
    ];
    expect(await Promise.all(halves.map(half))).toEqual(["", ""]);
    const still = await fetch(`http://127.0.0.1:${core.http.port}/api/v2/me`, { headers: { authorization: `Bearer ${token}` } });
    expect(still.status, "the run's own token, at its end").toBe(200);
  } finally {
    await core.stop();
    await rm(dir, { recursive: true, force: true });
  }
}, 330_000);
