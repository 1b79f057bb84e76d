// The supervisor in a session of its own: started, followed through its record until it is ready, and then left alone.
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { fault, isFaultCode } from "@aether/contract";
import { isErrno, sleep } from "@aether/kit";
import { type CloudRecord, cloudPaths, readRecord } from "@aether/lab";
import type { UpFlags } from "../commands/up.ts";

/** Returns when the cloud is ready. Throws what kept it from that, with the end of its log where nothing better is known. */
export async function detach(dir: string, flags: UpFlags, say: (text: string) => void, signal: AbortSignal): Promise<CloudRecord> {
  const paths = cloudPaths(dir);
  mkdirSync(paths.logs, { recursive: true, mode: 0o700 });
  const logFile = paths.log("supervisor");
  const fd = openSync(logFile, "w", 0o600);
  const main = fileURLToPath(new URL("../main.js", import.meta.url));
  const args = [main, "up", "--dir", dir, "--nodes", String(flags.nodes), "--port", String(flags.port), "--reclaim", flags.reclaim];
  args.push("--prefix", flags.prefix, "--subnet", flags.subnet, ...(flags.demo ? [] : ["--no-demo"]));
  const child = spawn(process.execPath, args, { detached: true, stdio: ["ignore", fd, fd] });
  closeSync(fd);
  let exit: number | undefined;
  child.once("exit", (code) => {
    exit = code ?? 1;
  });
  child.once("error", () => {
    exit = 1;
  });
  const follower = followLines(logFile, say);
  for (;;) {
    const record = await readRecord(dir);
    await follower();
    const isOurs = record?.supervisor.pid === child.pid;
    if (isOurs && record?.state === "ready") {
      child.unref();
      return record;
    }
    if (exit !== undefined) throw await reason(isOurs ? record : undefined, logFile);
    if (signal.aborted) {
      child.kill("SIGTERM");
      throw fault("CANCELLED", "interrupted; the cloud is taken apart");
    }
    await sleep(60);
  }
}

async function reason(record: CloudRecord | undefined, logFile: string) {
  if (record?.error !== undefined) {
    const { code, message, hint } = record.error;
    return fault(isFaultCode(code) ? code : "INTERNAL", message, { hint });
  }
  const text = await readFile(logFile, "utf8");
  const message = /^error: (.*)$/m.exec(text)?.[1] ?? text.trim().split("\n").at(-1) ?? "the supervisor ended";
  const hint = /^hint: (.*)$/m.exec(text)?.[1] ?? `Its log: ${logFile}`;
  // What it refused before it wrote a record (a taken port, another cloud) is a refusal here as well.
  return fault(/runs on this machine|cannot be used|is in use|exists/.test(message) ? "LOCKED" : "INTERNAL", message, { hint });
}

/** Says each progress line of the supervisor once; what it ends with is said by the caller. */
function followLines(file: string, say: (text: string) => void): () => Promise<void> {
  let shown = 0;
  return async () => {
    let text = "";
    try {
      text = await readFile(file, "utf8");
    } catch (caught) {
      if (!isErrno(caught, "ENOENT")) throw caught;
    }
    const lines = text.split("\n").slice(0, -1);
    for (const line of lines.slice(shown)) if (!/^(error|hint|field): |^Open |^Interrupt |^Ctrl-C |^It has no /.test(line)) say(line);
    shown = lines.length;
  };
}
