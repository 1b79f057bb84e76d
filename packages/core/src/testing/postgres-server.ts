// For tests: a PostgreSQL server of their own, from the distribution's programs: a private directory, a unix socket, no port, gone afterwards.
// PostgreSQL refuses to run as root, so a test that is root gives it to another user.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { sleep, withDeadline } from "@aether/kit";
import pg from "pg";
import type { PostgresConfig } from "../db/postgres-config.ts";
import { postgresIsMissing, postgresOwner, postgresPrograms } from "./postgres-programs.ts";

export interface PostgresServer {
  /** Of a database that is made by this call, empty. */
  createDatabase(): Promise<PostgresConfig>;
  /** SIGKILL, as a crash is; `start` recovers. */
  kill(): Promise<void>;
  /** Of the process that all others of the server are children of. */
  pid(): Promise<number>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

const user = "postgres";

/** @param isDurable a commit waits for the disk. About 2 s, most of it initdb. */
export async function startPostgres({ isDurable = false } = {}): Promise<PostgresServer> {
  const programsDir = postgresPrograms;
  const owner = postgresOwner;
  if (programsDir === undefined || postgresIsMissing !== undefined) throw new Error(postgresIsMissing);
  // Short: the path of a unix socket has at most 107 characters.
  const dir = await mkdtemp(join(tmpdir(), "aether-pg-"));
  const data = join(dir, "data");
  if (owner !== undefined) chownSync(dir, owner.uid, owner.gid);
  const as = owner === undefined ? {} : { uid: owner.uid, gid: owner.gid };
  let server: ChildProcess | undefined;

  const start = async () => {
    // Durability against loss of power is not what these tests look at; a kill loses nothing without it.
    const settings = [
      "listen_addresses=",
      `unix_socket_directories=${dir}`,
      `fsync=${isDurable ? "on" : "off"}`,
      "shared_buffers=16MB",
      "max_connections=60",
    ];
    // The shell ends the server when this process is gone, however it ended: its standard input is then closed.
    const script = 'program=$1; shift; "$program" "$@" </dev/null & server=$!; read _; kill -INT $server; wait $server';
    const args = ["-D", data, ...settings.flatMap((each) => ["-c", each])];
    let said = "";
    const launch = () => {
      const started = spawn("/bin/sh", ["-c", script, "sh", join(programsDir, "postgres"), ...args], {
        ...as,
        cwd: dir,
        stdio: ["pipe", "ignore", "pipe"],
      });
      started.stderr.on("data", (chunk: Buffer) => {
        said = (said + chunk.toString()).slice(-4000);
      });
      server = started;
      return started;
    };
    let started = launch();
    await withDeadline("starting PostgreSQL", 30_000, async (signal) => {
      while (!(await answers(dir))) {
        signal.throwIfAborted();
        await sleep(50);
        // After a kill -9 its processes go one by one, and have the shared memory until the last has gone.
        if (started.exitCode !== null && said.includes("pre-existing shared memory block")) {
          said = "";
          started = launch();
        }
      }
    }).catch((cause: unknown) => {
      throw new Error(`PostgreSQL did not start: ${said}`, { cause });
    });
  };
  const pid = async () => Number((await readFile(join(data, "postmaster.pid"), "utf8")).split("\n")[0]);
  const end = async (signal: NodeJS.Signals) => {
    const ending = server;
    server = undefined;
    if (ending === undefined) return;
    const exited = once(ending, "exit");
    process.kill(await pid(), signal);
    ending.stdin?.end();
    await exited;
  };

  const initdb = ["-D", data, "-U", user, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"];
  await promisify(execFile)(join(programsDir, "initdb"), initdb, { timeout: 60_000, cwd: dir, ...as });
  await start();
  let count = 0;
  return {
    async createDatabase() {
      const name = `test_${process.pid}_${++count}`;
      await asAdmin(dir, `create database ${name}`);
      return { host: dir, port: 5432, name, user, tls: "off", poolSize: 10 };
    },
    kill: () => end("SIGKILL"),
    pid,
    start,
    async stop() {
      // SIGINT: sessions are cut, the rest is orderly.
      await end("SIGINT");
      // A process of the server that was killed may write its last while its directory goes.
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function asAdmin(host: string, sql: string): Promise<void> {
  const client = new pg.Client({ host, port: 5432, user, database: "postgres" });
  await client.connect();
  await client.query(sql).finally(() => client.end());
}

const answers = (dir: string): Promise<boolean> =>
  asAdmin(dir, "select 1").then(
    () => true,
    () => false,
  );
