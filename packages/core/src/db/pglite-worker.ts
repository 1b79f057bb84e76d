// Runs in a worker thread: PGlite, one statement after the other. In the main thread one heavy query blocked the event loop for
// 2.4 s, behind a message port for 17 ms. Imports nothing of the project but durable-files, so that it loads from src and dist alike.
import { parentPort, workerData } from "node:worker_threads";
import { PGlite } from "@electric-sql/pglite";

export interface WorkerRequest {
  readonly id: number;
  readonly kind: "query" | "exec" | "close";
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

export interface WorkerData {
  readonly dir: string;
  /** Each commit waits for the disk. */
  readonly isDurable: boolean;
}

export interface WorkerError {
  readonly message: string;
  /** SQLSTATE. */
  readonly code: string | undefined;
  readonly constraint: string | undefined;
}

export type WorkerReply =
  | { readonly kind: "ready" }
  /** Of LISTEN, after the commit of who said it. */
  | { readonly kind: "notice"; readonly channel: string; readonly payload: string }
  | { readonly kind: "rows"; readonly id: number; readonly rows: readonly unknown[]; readonly affected: number }
  | { readonly kind: "error"; readonly id: number; readonly error: WorkerError };

const text = (from: object, name: string): string | undefined => {
  const value: unknown = Reflect.get(from, name);
  return typeof value === "string" ? value : undefined;
};

function describe(caught: unknown): WorkerError {
  if (!(caught instanceof Error)) return { message: String(caught), code: undefined, constraint: undefined };
  return { message: caught.message, code: text(caught, "code"), constraint: text(caught, "constraint") };
}

/** The neighbour of this file, with this file's own extension. */
async function durable(dir: string) {
  const file = import.meta.url.endsWith(".ts") ? "./durable-files.ts" : "./durable-files.js";
  const { durableOptions } = (await import(new URL(file, import.meta.url).href)) as typeof import("./durable-files.ts");
  return durableOptions(dir);
}

if (parentPort) {
  const port = parentPort;
  const reply = (message: WorkerReply) => port.postMessage(message);
  const { dir, isDurable } = workerData as WorkerData;
  const database = await PGlite.create(isDurable ? await durable(dir) : { dataDir: dir });
  database.onNotification((channel, payload) => reply({ kind: "notice", channel, payload }));
  port.on("message", async ({ id, kind, sql, parameters }: WorkerRequest) => {
    try {
      if (kind === "close") {
        await database.close();
        reply({ kind: "rows", id, rows: [], affected: 0 });
        port.close();
      } else if (kind === "exec") {
        await database.exec(sql);
        reply({ kind: "rows", id, rows: [], affected: 0 });
      } else {
        const result = await database.query(sql, [...parameters]);
        reply({ kind: "rows", id, rows: result.rows, affected: result.affectedRows ?? 0 });
      }
    } catch (caught) {
      reply({ kind: "error", id, error: describe(caught) });
    }
  });
  reply({ kind: "ready" });
}
