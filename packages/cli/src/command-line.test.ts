// The command against a real Connect server on loopback: what a script sees of it, stdout, stderr and exit code.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { DrillService, DrillState } from "@aether/contract/gen/aether/v2/drill_pb";
import { MigrationService, MigrationState } from "@aether/contract/gen/aether/v2/migration_pb";
import { PolicySchema, PolicyService, type SetPolicyRequest } from "@aether/contract/gen/aether/v2/policy_pb";
import { EventService } from "@aether/contract/gen/aether/v2/signal_pb";
import { OnNodeLost, WorkloadService, WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import { create, toJson } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createProgram, runCommandLine } from "./command-line.ts";
import { completionScript } from "./completion/script.ts";
import { withoutHidden } from "./completion/words.ts";

let server: Server;
let dir: string;
let seenToken = "";
const asked: unknown[] = [];
let drillState = DrillState.RUNNING;
/** What it becomes when the stream says that something happened. */
let drillVerdict = DrillState.PASSED;

const routes = (router: ConnectRouter) => {
  router.service(WorkloadService, {
    listWorkloads: (_request, context) => {
      seenToken = context.requestHeader.get("authorization") ?? "";
      return { workloads: [{ spec: { name: "db", address: "10.77.1.1" }, state: WorkloadState.RUNNING, nodeId: "n1", epoch: 3n }] };
    },
    runWorkload: (request) => {
      asked.push(request);
      if (request.spec?.address === "10.77.1.1") throw fault("ADDRESS_IN_USE", "10.77.1.1 is db's", { field: "address" }).toConnectError();
      return { workload: { spec: { name: request.spec?.name ?? "", address: "10.77.1.2" }, state: WorkloadState.RUNNING, nodeId: "n2" } };
    },
    getWorkload: (_request, context) => {
      context.responseHeader.set("etag", `"tag-${asked.length}"`);
      return { workload: { spec: { name: "db", labels: { tier: "db", old: "1" } } } };
    },
    updateWorkload: (request, context) => {
      asked.push({ match: context.requestHeader.get("if-match"), mask: request.updateMask?.paths, spec: request.spec });
      // The first time somebody else was faster.
      if (asked.length === 1) throw fault("PRECONDITION_FAILED", "it is not what it was").toConnectError();
      return { workload: { spec: { name: "db", labels: request.spec?.labels ?? {} } } };
    },
    execWorkload: (request) => ({ exitCode: 7, stdout: Buffer.from(request.argv.join(",")), stderr: Buffer.from("oh\n") }),
    async *readLogs() {
      yield { chunk: Buffer.from("one\n") };
      yield { chunk: Buffer.from("two\n") };
    },
  });
  router.service(MigrationService, {
    startMigration: (request) => {
      if (request.workload === "busy") {
        throw fault("MIGRATION_IN_PROGRESS", "busy is being moved by mig-1", { details: { migrationId: "mig-1" } }).toConnectError();
      }
      return {
        migration: { id: "mig-9", workload: request.workload, sourceNodeId: "n1", targetNodeId: "n2", state: MigrationState.PLANNED },
      };
    },
    async *watchMigration() {
      const base = { id: "mig-9", workload: "db", sourceNodeId: "n1", targetNodeId: "n2" };
      const phases = [{ name: "freeze.dump", nodeId: "n1", durationMs: 41.5, outcome: "ok" }];
      yield { migration: { ...base, state: MigrationState.FREEZING } };
      yield { migration: { ...base, state: MigrationState.DONE, phases, receipt: { migrationId: "mig-9", isWhole: true, freezeMs: 120 } } };
    },
  });
  router.service(PolicyService, {
    setPolicy: (request) => {
      asked.push(request);
      return { policy: { name: request.policy?.name ?? "", version: 3, workloads: ["db"] } };
    },
    getWorkloadPolicy: () => ({
      settings: [{ name: "priority", value: "90", source: "policy/databases@3" }],
      policies: ["policy/databases@3"],
    }),
  });
  router.service(EventService, {
    listEvents: () => ({ events: [{ sequence: 7n }] }),
    async *watchEvents({ after }) {
      drillState = drillVerdict;
      yield { event: { sequence: after + 1n, subject: "drill/drl-1" } };
    },
  });
  router.service(DrillService, {
    startDrill: () => ({ drill: { id: "drl-1", state: DrillState.RUNNING } }),
    getDrill: () => ({ drill: { id: "drl-1", state: drillState } }),
  });
};

beforeEach(async () => {
  asked.length = 0;
  [drillState, drillVerdict] = [DrillState.RUNNING, DrillState.PASSED];
  dir = await mkdtemp(join(tmpdir(), "aether-cli-"));
  server = createServer(connectNodeAdapter({ routes }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await writeFile(join(dir, "cli.json"), JSON.stringify({ url, token: "at_secret" }));
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(dir, { recursive: true });
});

async function aether(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const decode = (chunk: string | Uint8Array) => (typeof chunk === "string" ? chunk : Buffer.from(chunk).toString());
  const streams = {
    stdout: { write: (chunk: string | Uint8Array) => (out += decode(chunk)) },
    stderr: { write: (chunk: string | Uint8Array) => (err += decode(chunk)) },
  };
  const end = args.indexOf("--");
  const at = end === -1 ? args.length : end;
  const code = await runCommandLine([...args.slice(0, at), "--dir", dir, ...args.slice(at)], streams);
  return { code, out, err };
}

describe("aether", () => {
  it("lists in a table for people and in one JSON document for scripts, with the token of the directory", async () => {
    const table = await aether("ps");
    expect(table.code).toBe(0);
    expect(table.out).toMatch(/^NAME +STATE .*\ndb +running .*n1 +3 +10\.77\.1\.1/);
    expect(seenToken).toBe("Bearer at_secret");
    const json = await aether("ps", "--json");
    expect(JSON.parse(json.out)).toMatchObject({
      workloads: [{ spec: { name: "db" }, state: "WORKLOAD_STATE_RUNNING", epoch: "3", reason: "" }],
    });
  });

  it("sends all that run's flags say", async () => {
    const answer = await aether(
      ...[
        "run",
        "web",
        "--address",
        "10.77.1.9",
        "--health",
        "tcp:80",
        "--memory",
        "512M",
        "--pids",
        "none",
        "--env",
        "A=b=c",
        "--env",
        "D=",
        "--node",
        "n2",
        "--label",
        "tier=web",
      ],
      ...["--volume", "/srv:/data:sync", "--", "/app/server", "--json", "-p", "80"],
    );
    expect(answer).toMatchObject({ code: 0, err: "" });
    expect(answer.out).toContain("web is running on n2 at 10.77.1.2");
    expect(asked[0]).toMatchObject({
      nodeId: "n2",
      spec: {
        name: "web",
        rootfs: "host",
        argv: ["/app/server", "--json", "-p", "80"],
        address: "10.77.1.9",
        memoryLimitBytes: 536_870_912n,
        pidsLimit: -1,
        env: { A: "b=c", D: "" },
        health: { kind: { case: "tcpPort", value: 80 } },
        volumes: [{ source: "/srv", destination: "/data", mode: 2 }],
        labels: { tier: "web" },
        // What no flag says is left to policies.
        rpoSeconds: 0,
        evacuation: { priority: 0, onNodeLost: OnNodeLost.UNSPECIFIED },
      },
    });
  });

  it("sets a policy with what was said and nothing else, and shows where a setting comes from", async () => {
    const set = await aether(
      ...["policy", "set", "databases", "--label", "tier=db", "--rank", "-2", "--max-freeze", "0s", "--rpo", "5m"],
      ...["--on-node-lost", "restore", "--mode", "stop-and-copy", "--window", "fri@22:00-04:00"],
    );
    expect(set).toMatchObject({ code: 0, err: "", out: expect.stringContaining("databases is in force, version 3, for 1 workload: db") });
    const [{ policy }] = asked as [SetPolicyRequest];
    expect(toJson(PolicySchema, policy ?? create(PolicySchema))).toEqual({
      name: "databases",
      selector: { tier: "db" },
      rank: -2,
      settings: {
        maxFreezeMs: 0,
        onNodeLost: "ON_NODE_LOST_RESTORE",
        rpoSeconds: 300,
        mode: "MIGRATION_MODE_STOP_AND_COPY",
        windows: [{ days: ["fri"], from: "22:00", to: "04:00" }],
      },
    });
    for (const [flags, field] of [
      [["--label", "tier"], "label"],
      [["--rank", "high"], "rank"],
      [["--window", "always"], "window"],
    ] as const) {
      expect(await aether("policy", "set", "x", ...flags)).toMatchObject({
        code: 2,
        out: "",
        err: expect.stringContaining(`field: ${field}`),
      });
    }
    expect((await aether("policy", "of", "db")).out).toMatch(/priority +90 +policy\/databases@3/);
  });

  it("changes a workload's labels on what it has read, and reads again when somebody else was faster", async () => {
    const answer = await aether("workload", "label", "db", "team=a", "old-");
    expect(answer).toMatchObject({ code: 0, err: "", out: expect.stringContaining("db has team=a tier=db") });
    expect(asked).toMatchObject([
      { match: '"tag-0"', mask: ["labels"], spec: { labels: { tier: "db", team: "a" } } },
      { match: '"tag-1"', mask: ["labels"], spec: { labels: { tier: "db", team: "a" } } },
    ]);
    expect((await aether("workload", "set", "db", "--priority", "90", "--rpo", "0s")).code).toBe(0);
    expect(asked[2]).toMatchObject({ mask: ["evacuation.priority", "rpo_seconds"], spec: { evacuation: { priority: 90 }, rpoSeconds: 0 } });
    for (const args of [
      ["label", "db"],
      ["label", "db", "team"],
      ["set", "db"],
    ])
      expect((await aether("workload", ...args)).code, args.join(" ")).toBe(2);
  });

  it("refuses bad input with 2, names the field, and asks core for nothing", async () => {
    for (const [args, field] of [
      [["run", "No_Label", "--", "x"], "name"],
      [["run", "web", "--address", "10.0.0", "--", "x"], "address"],
      [["run", "web", "--health", "udp:1", "--", "x"], "health"],
      [["run", "web", "--volume", "a:b", "--", "x"], "volume"],
    ] as const) {
      const answer = await aether(...args);
      expect(answer.code, args.join(" ")).toBe(2);
      expect(answer.err).toContain(`field: ${field}`);
      expect(answer.out).toBe("");
    }
    for (const args of [
      ["run", "web"],
      ["run", "web", "--memory", "lots", "--", "x"],
      ["run", "web", "--pids", "1", "--", "x"],
      ["migrate", "db", "--mode", "fly"],
      ["nonsense"],
      ["ps", "--nope"],
    ]) {
      expect((await aether(...args)).code, args.join(" ")).toBe(2);
    }
    expect(asked).toEqual([]);
  });

  it("gives core's own errors: field, hint, exit code, and in JSON the details", async () => {
    const taken = await aether("run", "web", "--address", "10.77.1.1", "--", "x");
    expect(taken.code).toBe(2);
    expect(taken.err).toMatch(/^error: 10\.77\.1\.1 is db's\nfield: address\nhint: /);
    const busy = await aether("migrate", "busy", "--json");
    expect(busy.code).toBe(4);
    expect(JSON.parse(busy.out)).toMatchObject({ error: { code: "MIGRATION_IN_PROGRESS", details: { migrationId: "mig-1" } } });
  });

  it("prints a move's phases on stderr as they happen and the receipt on stdout", async () => {
    const moved = await aether("migrate", "db", "--to", "n2");
    expect(moved.code).toBe(0);
    expect(moved.err).toMatch(/mig-9: db from n1 to n2\nfreezing\n {2}✓ freeze\.dump +n1 +41\.5 ms\ndone\n/);
    expect(moved.out).toContain("Nothing was lost");
    expect(JSON.parse((await aether("migrate", "db", "--json")).out)).toMatchObject({
      state: "MIGRATION_STATE_DONE",
      receipt: { isWhole: true },
    });
  });

  it("ends a drill with 0 only when it passed", async () => {
    expect((await aether("drill", "start", "--node", "n1", "--wait", "--json")).code).toBe(0);
    [drillState, drillVerdict] = [DrillState.RUNNING, DrillState.FAILED];
    const failed = await aether("drill", "start", "--node", "n1", "--wait", "--json");
    expect(failed.code).toBe(1);
    expect(JSON.parse(failed.out)).toMatchObject({ state: "DRILL_STATE_FAILED" });
  });

  it("streams logs as they are, and hands on the exit code of a command inside", async () => {
    expect(await aether("logs", "db")).toEqual({ code: 0, out: "one\ntwo\n", err: "" });
    expect(JSON.parse((await aether("logs", "db", "--json")).out)).toEqual({ name: "db", text: "one\ntwo\n" });
    expect(await aether("exec", "db", "--", "ls", "-l")).toEqual({ code: 7, out: "ls,-l", err: "oh\n" });
  });

  it("says what to do when no core is known or none answers", async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    const gone = await aether("ps");
    expect(gone.code).toBe(1);
    expect(gone.err).toContain("does not answer");
    await rm(join(dir, "cli.json"));
    const unknown = await aether("ps");
    expect(unknown.code).toBe(1);
    expect(unknown.err).toContain("aether up");
  });

  it("never sends the directory's token to another core", async () => {
    await aether("ps");
    seenToken = "untouched";
    const { port } = server.address() as AddressInfo;
    await aether("ps", "--url", `http://localhost:${port}`);
    expect(seenToken).toBe("");
  });
});

describe("help and completion", () => {
  it("has a description for every command, and examples for each that does something", async () => {
    const lines: string[] = [];
    const walk = (command: Awaited<ReturnType<typeof createProgram>>, path: string) => {
      const subs = command.commands;
      for (const sub of subs) walk(sub as Awaited<ReturnType<typeof createProgram>>, `${path} ${sub.name()}`);
      if (path === "") return;
      expect(command.description(), path).not.toBe("");
      let help = "";
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
      if (subs.length === 0 && ![" backtest", " savings"].includes(path)) expect(help, path).toContain("Examples:");
      lines.push(path);
    };
    walk(await createProgram(), "");
    expect(lines.length).toBeGreaterThan(30);
  });
  it.each(["bash", "zsh", "fish"] as const)("completes every command and choice in %s", async (shell) => {
    const script = completionScript(shell, withoutHidden(await createProgram()));
    for (const word of ["migrate", "drill", "stop-and-copy", "revoke", "--mode".slice(shell === "fish" ? 2 : 0)]) {
      if (!(shell === "zsh" && word === "stop-and-copy")) expect(script).toContain(word);
    }
    expect(script).not.toContain("subnet");
  });
});
