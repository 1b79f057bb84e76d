// For tests: moto, an emulator of AWS's APIs, as a server of its own. It is installed once, pinned, into the clone's ignored cache; where Python
// or the package cannot be had the tests that need it skip with the reason.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { Fault } from "@aether/contract";
import { run } from "@aether/kit";

const pinned = ["moto[ec2,s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];
const cache = resolve(import.meta.dirname, "../../../../.cache");
const home = join(cache, "moto-5.2.5-s3");
const script = "from moto.server import main; main()";

export interface MotoServer {
  readonly endpoint: string;
  stop(): Promise<void>;
}

/** The server, or why there is none. */
export async function startMoto(): Promise<MotoServer | string> {
  const missing = await install();
  if (missing !== undefined) return missing;
  const port = await freePort();
  const child = spawn("python3", ["-c", script, "-H", "127.0.0.1", "-p", String(port)], {
    stdio: "ignore",
    env: { PATH: process.env.PATH, PYTHONPATH: home },
  });
  const ended = new Promise<void>((done) => child.once("exit", () => done()));
  const endpoint = `http://127.0.0.1:${port}`;
  for (let i = 0; i < 300 && child.exitCode === null; i++) {
    const isUp = await fetch(`${endpoint}/moto-api/data.json`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (isUp)
      return {
        endpoint,
        async stop() {
          child.kill("SIGKILL");
          await ended;
        },
      };
    await new Promise((done) => setTimeout(done, 100));
  }
  child.kill("SIGKILL");
  return "moto is installed and does not start";
}

/** Into a directory beside, then renamed: half an installation is never found. */
async function install(): Promise<string | undefined> {
  if (existsSync(home)) return undefined;
  await mkdir(cache, { recursive: true });
  const half = await mkdtemp(join(cache, "moto-"));
  try {
    const args = ["-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", "--target", half, ...pinned];
    await run("python3", args, {
      deadlineMs: 120_000,
      env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "", PIP_ROOT_USER_ACTION: "ignore" },
    });
    await rename(half, home);
    return undefined;
  } catch (caught) {
    await rm(half, { recursive: true, force: true });
    return `moto cannot be installed: ${Fault.from(caught).message.split("\n")[0]?.slice(0, 200)}`;
  }
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const at = server.address();
      server.close(() => (typeof at === "object" && at !== null ? done(at.port) : fail(new Error("no port"))));
    });
  });
}
