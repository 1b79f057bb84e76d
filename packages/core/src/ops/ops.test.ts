// The control plane looked after: a bundle without a secret, a backup that makes the same control plane again, retention that can be changed.
import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import { createLogger } from "@aether/kit";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { coreConfig } from "../config.ts";
import { openDatabase } from "../db/database.ts";
import { type CoreUnderTest, connectAgent, enrol, startCore } from "../testing/core-under-test.ts";
import { restoreBackup } from "./restore.ts";

let core: CoreUnderTest;
let scratch: string;
const secrets = new Map<string, string>();
const passphrase = "correct horse battery staple";

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aether-ops-"));
  core = await startCore();
  secrets.set("admin token", core.adminToken);
  for (const role of ["ROLE_VIEWER", "ROLE_AGENT"])
    secrets.set(role, (await core.call("POST", "/api/v2/tokens", { name: `t-${role.toLowerCase().replace("_", "-")}`, role })).body.secret);
  const account = { name: "grace", role: "ROLE_OPERATOR", password: "a-long-password-of-grace" };
  await core.call("POST", "/api/v2/accounts", account);
  secrets.set("password", account.password);
  const identity = await enrol(core, "n1");
  const agent = await connectAgent(core, identity, ({ id, action }) => {
    if (action.case === "readAgentLog") {
      const chunk = Buffer.from(`{"msg":"said by the agent","token":"hunter6"}\nhalf a line with at_hunter6hunter6hunter6hunter6`);
      agent.say({ case: "output", value: { commandId: id, chunk, isEnd: false } });
      agent.say({ case: "output", value: { commandId: id, isEnd: true } });
    }
    return { outcome: CommandOutcome.OK };
  });
  createLogger({ name: "core", file: "/dev/null", level: "info" }).info("said by core");
  const spec = {
    name: "db",
    rootfs: "host",
    argv: ["/usr/bin/redis-server", "--requirepass", "hunter2-in-argv", "PGPASSWORD=hunter3-in-argv"],
    env: { SOME_KEY: "hunter4-in-env", PLAIN: "hunter5-in-env" },
  };
  expect((await core.call("POST", "/api/v2/workloads", { spec, nodeId: "n1" })).status).toBe(200);
  for (const word of ["hunter2-in-argv", "hunter3-in-argv", "hunter4-in-env", "hunter5-in-env"]) secrets.set(word, word);
  secrets.set("snapshot key", (await readFile(join(core.dir, "snapshot.key"), "utf8")).trim());
  const [, keyLine = ""] = (await readFile(join(core.dir, "authority.pem"), "utf8")).split("\n");
  secrets.set("authority key", keyLine);
}, 60_000);
afterAll(async () => {
  await core.stop();
  await rm(scratch, { recursive: true, force: true });
});

const download = async (path: string, init: RequestInit = {}) => {
  const response = await fetch(core.url + path, { ...init, headers: { authorization: `Bearer ${core.adminToken}`, ...init.headers } });
  return { response, bytes: Buffer.from(await response.arrayBuffer()) };
};

describe("the diagnostics bundle", () => {
  it("says first what is in it, and then has exactly that", async () => {
    const { body } = await core.call("GET", "/api/v2/diagnostics/manifest");
    const { response, bytes } = await download("/api/v2/diagnostics/bundle");
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/gzip"]);
    expect(response.headers.get("content-disposition")).toMatch(/^attachment; filename="aether-diagnostics-.*\.tar\.gz"$/);
    await writeFile(join(scratch, "d.tar.gz"), bytes);
    // By another program than the one that wrote it.
    const names = execFileSync("tar", ["-tzf", join(scratch, "d.tar.gz")], { encoding: "utf8" })
      .trim()
      .split("\n");
    const within = names.map((name) => name.replace(/^[^/]+\//, "")).sort();
    expect(within).toEqual(["manifest.json", ...body.parts.map(({ name }: { name: string }) => name)].sort());
    const text = gunzipSync(bytes).toString("utf8");
    expect(text).toContain('"name": "db"'.replace(": ", ":"));
    expect(text).toContain("aether_workloads");
    // What the daemons said last: this core, and each agent that is connected.
    expect(text).toContain('"node":"n1"');
    expect(text).toContain("said by the agent");
    expect(text).toContain("said by core");
    expect(text).not.toContain("at_hunter6");
  });

  it("holds no secret, whatever table it came from", async () => {
    const text = gunzipSync((await download("/api/v2/diagnostics/bundle")).bytes).toString("utf8");
    expect([...secrets].filter(([, secret]) => text.includes(secret)).map(([name]) => name)).toEqual([]);
    expect(text).not.toMatch(/\$argon2|PRIVATE KEY|"secret_sha256":"[0-9a-f]{64}"/);
    expect(text).toContain("SOME_KEY");
  });

  it("is for admins", async () => {
    const viewer = secrets.get("ROLE_VIEWER") ?? "";
    const { response } = await download("/api/v2/diagnostics/bundle", { headers: { authorization: `Bearer ${viewer}` } });
    expect(response.status).toBe(403);
  });
});

describe("a backup", () => {
  const make = (body: object) =>
    download("/api/v2/backups", { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
  const configOf = (dataDir: string) => coreConfig.parse({ dataDir, trustDomain: "test.local" });

  it("is refused without a passphrase or a recipient, and with a short or a wrong one", async () => {
    for (const [body, field] of [
      [{}, "passphrase"],
      [{ passphrase: "short" }, "passphrase"],
      [{ passphrase, recipients: ["age1x"] }, "recipients"],
      [{ recipients: ["age1nonsense"] }, "recipients[0]"],
    ] as const) {
      const { response, bytes } = await make(body);
      const { error } = JSON.parse(bytes.toString());
      expect([response.status, error.field]).toEqual([400, field]);
    }
  });

  it("makes the same control plane again, with the audit chain whole; nothing is readable without the passphrase", async () => {
    const { response, bytes } = await make({ passphrase });
    expect(response.status).toBe(200);
    expect(bytes.subarray(0, 21).toString()).toBe("age-encryption.org/v1");
    expect(bytes.includes("redis-server")).toBe(false);
    expect((await readdir(core.dir)).filter((name) => name.endsWith(".spool"))).toEqual([]);
    const file = join(scratch, "b.age");
    await writeFile(file, bytes);
    const dataDir = join(scratch, "restored");
    await expect(restoreBackup({ file, config: configOf(join(scratch, "wrong")), passphrase: "another passphrase" })).rejects.toMatchObject(
      {
        code: "BACKUP_UNREADABLE",
      },
    );
    const restored = await restoreBackup({ file, config: configOf(dataDir), passphrase });
    expect(restored.rows).toMatchObject({ workloads: 1, nodes: 1, accounts: 1, tokens: 4 });
    await expect(restoreBackup({ file, config: configOf(dataDir), passphrase })).rejects.toMatchObject({ code: "PRECONDITION_FAILED" });
    for (const name of ["authority.pem", "snapshot.key"])
      expect(await readFile(join(dataDir, name), "utf8")).toBe(await readFile(join(core.dir, name), "utf8"));
    const again = await openDatabase({ dataDir });
    try {
      const token = await again.db.selectFrom("tokens").select("secret_sha256").where("name", "=", "first-admin").execute();
      expect(token).toHaveLength(1);
      // Triggers are on again: the audit cannot be changed, and events get their numbers after those that were there.
      await expect(again.db.updateTable("audit").set({ actor: "x" }).execute()).rejects.toThrow(/append-only/);
      const newest = await again.db
        .selectFrom("events")
        .select(({ fn }) => fn.max("sequence").as("sequence"))
        .executeTakeFirstOrThrow();
      await again.db.insertInto("events").values({ type: "x", subject: "x", message: "x" }).execute();
      const added = await again.db.selectFrom("events").select("sequence").where("type", "=", "x").executeTakeFirstOrThrow();
      expect(Number(added.sequence)).toBeGreaterThan(Number(newest.sequence));
    } finally {
      await again.close();
    }
  }, 60_000);

  it("is refused when it was cut off or changed, and leaves nothing behind", async () => {
    const identity = await generateX25519Identity();
    const dataDir = join(scratch, "spoilt");
    const { bytes } = await make({ recipients: [await identityToRecipient(identity)] });
    for (const [name, spoilt] of [
      ["cut", bytes.subarray(0, bytes.length - 70_000 > 0 ? bytes.length - 70_000 : bytes.length >> 1)],
      ["changed", Buffer.concat([bytes.subarray(0, bytes.length >> 1), Buffer.from([1]), bytes.subarray((bytes.length >> 1) + 1)])],
    ] as const) {
      const file = join(scratch, `${name}.age`);
      await writeFile(file, spoilt);
      await expect(restoreBackup({ file, config: configOf(dataDir), identities: [identity] })).rejects.toMatchObject({
        code: "BACKUP_UNREADABLE",
      });
    }
    // The same place takes the whole one afterwards.
    const whole = join(scratch, "whole.age");
    await writeFile(whole, bytes);
    expect((await restoreBackup({ file: whole, config: configOf(dataDir), identities: [identity] })).rows.workloads).toBe(1);
  }, 60_000);
});

describe("retention", () => {
  it("can be read and changed, within its limits, and outlives a restart", async () => {
    const rule = async (name: string) =>
      (await core.call("GET", "/api/v2/retention")).body.retention.rules.find((each: { name: string }) => each.name === name);
    expect(await rule("events_days")).toMatchObject({ value: 14, source: "config" });
    expect(await rule("audit")).toMatchObject({ isFixed: true });
    expect((await core.call("PATCH", "/api/v2/retention", { change: { eventsDays: 0.5 } })).body.error).toMatchObject({
      field: "change.eventsDays",
    });
    expect((await core.call("PATCH", "/api/v2/retention", {})).body.error).toMatchObject({ field: "change" });
    const changed = await core.call("PATCH", "/api/v2/retention", { change: { eventsDays: 30, snapshotsGigabytes: 2.5 } });
    expect(changed.status).toBe(200);
    await core.restart();
    expect(await rule("events_days")).toMatchObject({ value: 30, source: "operator", changedBy: "token/first-admin" });
    expect(await rule("snapshots_gigabytes")).toMatchObject({ value: 2.5 });
    expect(await rule("snapshots_days")).toMatchObject({ value: 90, source: "config" });
  }, 60_000);
});

describe("the configuration", () => {
  it("is shown with its sources", async () => {
    const { values } = (await core.call("GET", "/api/v2/config")).body;
    const named = (key: string) => values.find((each: { key: string }) => each.key === key);
    expect(named("http.host")).toMatchObject({ valueJson: '"127.0.0.1"', source: "argument" });
    expect(named("moves.atOnce")).toMatchObject({ valueJson: "32" });
  });
});
