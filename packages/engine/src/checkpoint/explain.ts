// criu's logs in plain words: what an operator reads at 3 a.m. The raw error lines are kept beside.

interface Explanation {
  readonly pattern: RegExp;
  readonly message: string;
  readonly mend: string;
}

/** What was met, in the order in which the more specific comes first. */
const explanations: readonly Explanation[] = [
  {
    pattern: /io_uring/i,
    message: "the workload uses io_uring, which cannot be checkpointed",
    mend: "Switch io_uring off in the application, or deny its system calls.",
  },
  {
    pattern: /Can't lookup mount=(\d+) for fd=(\d+) path=(\S+)/,
    message: "a file is open that is outside of the container",
    mend: "Restart the workload without inherited descriptors.",
  },
  {
    pattern: /In-flight connection/,
    message: "a connection was being accepted at the moment of the freeze",
    mend: "It is tried again by itself.",
  },
  {
    pattern: /ghost file .* larger|Can't dump ghost file/i,
    message: "a deleted file that is still open is too large",
    mend: "Close or truncate deleted files that are still open.",
  },
  {
    pattern: /Unsupported socket (family|type)|unsupported (family|proto)/i,
    message: "a socket of a kind that cannot be checkpointed is open",
    mend: "See the socket's family in the log.",
  },
  {
    pattern: /external socket is used|Can't dump half of stream unix/i,
    message: "a unix socket is connected to a process outside of the container",
    mend: "Close it before the move.",
  },
  {
    pattern: /mqueue|Unknown FS magic 0x19800202/i,
    message: "a POSIX message queue is open",
    mend: "POSIX message queues cannot be checkpointed.",
  },
  {
    pattern: /cpu.*(not present|incompatible|mismatch)|CPU_FEATURE|fpu.*not supported/i,
    message: "the target's processor lacks what the process uses",
    mend: "Choose a target of the same or a newer instance generation.",
  },
  {
    pattern: /Can't fork for (\d+): File exists/,
    message: "a process number is taken on the target",
    mend: "Look for remains of an earlier container in the same namespace.",
  },
  {
    pattern: /No space left on device/,
    message: "no space is left for the images",
    mend: "Free space in the state directory, or memory for the tmpfs.",
  },
  { pattern: /Cannot allocate memory/, message: "the node has not enough free memory", mend: "Choose a target with more memory." },
];

export interface ExplainedLog {
  readonly message: string;
  readonly mend: string;
  /** The error lines, at most eight. */
  readonly lines: readonly string[];
}

/** Finds the reason in a dump.log or restore.log. Empty message: nothing known was found and no error line is there. */
export function explainLog(text: string): ExplainedLog {
  const lines = text
    .split("\n")
    .filter((line) => /\bError\b/.test(line) && !/RLIMIT_NOFILE/.test(line))
    .slice(0, 8);
  const joined = lines.join("\n");
  const known = explanations.find((one) => one.pattern.test(joined));
  if (known !== undefined)
    return { message: `${known.message} (${shorten(lines.find((line) => known.pattern.test(line)) ?? "")})`, mend: known.mend, lines };
  return { message: lines[0] === undefined ? "" : `criu: ${shorten(lines[0])}`, mend: "", lines };
}

const shorten = (line: string) =>
  line
    .replace(/^\(\d+\.\d+\)\s*/, "")
    .replace(/^\s*\d+:\s*/, "")
    .slice(0, 240);
