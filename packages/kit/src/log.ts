// Structured logs (pino), with what must never be in them taken out by name.
import { type Logger as PinoLogger, pino } from "pino";

export type Logger = Pick<PinoLogger, "trace" | "debug" | "info" | "warn" | "error" | "fatal"> & { child(bindings: object): Logger };

const secretNames = ["token", "secret", "password", "authorization", "joinToken", "join_token", "key", "privateKey", "cookie"];

export interface LogOptions {
  readonly name: string;
  /** trace | debug | info | warn | error | silent. Default: AETHER_LOG or info. */
  readonly level?: string;
  /** A file to append to; default standard error. */
  readonly file?: string;
}

/** One JSON object a line, times in UTC. */
export function createLogger(options: LogOptions): Logger {
  return pino(
    {
      name: options.name,
      level: options.level ?? process.env.AETHER_LOG ?? "info",
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: "[redacted]" },
    },
    pino.destination({ dest: options.file ?? 2, sync: true, append: true }),
  );
}

/** Says nothing. For tests and libraries without a caller's logger. */
export const silentLogger: Logger = pino({ level: "silent" });
