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

/** What each logger of this process said last, for diagnostics: bounded, the oldest lines go first. */
const recent = new Map<string, { lines: string[]; bytes: number }>();
const recentBytes = 256 << 10;

function remember(name: string, line: string): void {
  const kept = recent.get(name) ?? { lines: [], bytes: 0 };
  recent.set(name, kept);
  kept.lines.push(line);
  kept.bytes += line.length;
  if (kept.bytes <= recentBytes * 1.25) return;
  // Not one by one: a shift moves all that is left.
  let gone = 0;
  while (kept.bytes > recentBytes && gone < kept.lines.length - 1) kept.bytes -= kept.lines[gone++]?.length ?? 0;
  kept.lines = kept.lines.slice(gone);
}

/** The last lines (about 256 KiB) of the logger of this name, oldest first, as they were written. */
export const recentLogLines = (name: string): readonly string[] => recent.get(name)?.lines ?? [];

/** One JSON object a line, times in UTC. */
export function createLogger(options: LogOptions): Logger {
  const out = pino.destination({ dest: options.file ?? 2, sync: true, append: true });
  return pino(
    {
      name: options.name,
      level: options.level ?? process.env.AETHER_LOG ?? "info",
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: "[redacted]" },
    },
    {
      write(line: string) {
        remember(options.name, line);
        out.write(line);
      },
    },
  );
}

/** Says nothing. For tests and libraries without a caller's logger. */
export const silentLogger: Logger = pino({ level: "silent" });
