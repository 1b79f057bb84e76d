// Every error that leaves a process is a row of this table: a code that never changes, the RPC code it maps to, a title,
// the next step, and whether trying again can help. Expected outcomes are return values; a Fault is for what went wrong.
import { Code, ConnectError } from "@connectrpc/connect";

export type Retry = "now" | "backoff" | "never";

export interface FaultRow {
  readonly rpc: Code;
  readonly title: string;
  readonly hint: string;
  readonly retry: Retry;
}

const row = (rpc: Code, title: string, hint: string, retry: Retry = "never"): FaultRow => ({ rpc, title, hint, retry });

/** The error table. Rows are added, never renamed. */
export const faults = {
  INVALID_ARGUMENT: row(Code.InvalidArgument, "A field of the request is not valid", "Correct the field that is named."),
  UNAUTHENTICATED: row(Code.Unauthenticated, "No valid credential", "Send `Authorization: Bearer TOKEN`; `aether token create` makes one."),
  PERMISSION_DENIED: row(
    Code.PermissionDenied,
    "The credential's role does not allow this",
    "Ask for a token with the role that is named.",
  ),
  ROUTE_NOT_FOUND: row(Code.NotFound, "No such route", "See the API reference for the routes that exist."),
  GONE: row(Code.Unimplemented, "This route of v1 is not served any more", "Use what replaces it: /docs/v1 lists both."),
  METHOD_NOT_ALLOWED: row(Code.Unimplemented, "The route exists, but not for this method", "Use a method that Allow names."),
  UNSUPPORTED_MEDIA_TYPE: row(Code.InvalidArgument, "The body's type is not understood", "Send `Content-Type: application/json`."),
  PRECONDITION_FAILED: row(
    Code.FailedPrecondition,
    "The resource has changed since it was read",
    "Read it again, and decide again; then send its new ETag.",
  ),
  RANGE_NOT_SATISFIABLE: row(Code.OutOfRange, "The range begins after the end", "Ask for the size first: HEAD says it."),
  RATE_LIMITED: row(Code.ResourceExhausted, "Too many requests", "Wait as long as Retry-After says.", "backoff"),
  REQUEST_TOO_LARGE: row(Code.ResourceExhausted, "The request is larger than allowed", "Send less in one request."),
  IDEMPOTENCY_KEY_REUSED: row(Code.AlreadyExists, "The Idempotency-Key was used for another request", "Use a new key for a new request."),
  IDEMPOTENCY_KEY_BUSY: row(
    Code.Aborted,
    "The first request with this Idempotency-Key still runs",
    "Wait for its answer, or ask again later.",
    "backoff",
  ),
  INTERNAL: row(Code.Internal, "Something went wrong inside", "Look for the id in the log, and report it.", "backoff"),
  DEADLINE_EXCEEDED: row(Code.DeadlineExceeded, "It took longer than allowed", "Look at what it waited for; try again.", "backoff"),
  CANCELLED: row(Code.Canceled, "It was cancelled", "Nothing to do."),
  UNAVAILABLE: row(Code.Unavailable, "Not reachable now", "Try again; `aether doctor` finds the cause.", "backoff"),

  NODE_NOT_FOUND: row(Code.NotFound, "No such node", "`aether nodes` lists those that exist."),
  NODE_NOT_CONNECTED: row(
    Code.Unavailable,
    "The node has no session with the control plane",
    "Look whether its agent runs and reaches the control plane.",
    "backoff",
  ),
  NODE_IS_CONNECTED: row(
    Code.FailedPrecondition,
    "The node is heard",
    "Only a node without a session can be declared dead; `aether cordon NODE` keeps new workloads off it.",
  ),
  NODE_NAME_TAKEN: row(Code.AlreadyExists, "A node of this name is registered", "Choose another name, or remove the old node."),
  NODE_LACKS_CAPABILITY: row(
    Code.FailedPrecondition,
    "The node cannot do this",
    "`aether inspect NODE` says what is missing and how to mend it.",
  ),
  NO_TARGET: row(Code.FailedPrecondition, "No node can take the workload", "The reasons are listed by node; add a node or make room."),
  JOIN_TOKEN_INVALID: row(
    Code.Unauthenticated,
    "The join token is unknown, used or expired",
    "`aether token create --role agent` makes a new one; it works once.",
  ),
  IDENTITY_REJECTED: row(Code.Unauthenticated, "The peer's identity was not accepted", "Check the trust bundle and the clocks."),

  WORKLOAD_NOT_FOUND: row(Code.NotFound, "No such workload", "`aether ps` lists those that exist."),
  WORKLOAD_EXISTS: row(Code.AlreadyExists, "A workload of this name exists", "Choose another name, or `aether rm` it first."),
  WORKLOAD_NOT_RUNNING: row(Code.FailedPrecondition, "The workload does not run", "`aether inspect NAME` says why."),
  WORKLOAD_RUNNING: row(Code.FailedPrecondition, "The workload runs", "Stop it first (`aether stop NAME`)."),
  WORKLOAD_START_FAILED: row(
    Code.FailedPrecondition,
    "The workload did not start",
    "The reason is in the message; its output is in `aether logs NAME`.",
  ),
  COMMAND_NOT_EXECUTABLE: row(
    Code.InvalidArgument,
    "The command is not executable in the workload's rootfs",
    "Give a path that exists there.",
  ),
  ADDRESS_IN_USE: row(Code.AlreadyExists, "The address belongs to another workload", "Leave --address out to get a free one."),
  ROOTFS_INVALID: row(Code.InvalidArgument, "The rootfs cannot be used", "Use host, an absolute directory, or oci:DIR."),
  VOLUME_INVALID: row(Code.InvalidArgument, "A volume cannot be used", "Use SRC:DST:shared or SRC:DST:sync with absolute paths."),
  CONTAINER_NOT_FOUND: row(
    Code.NotFound,
    "No such running container",
    "`podman ps` and `docker ps` list them; containers of another user are seen by that user's podman alone.",
  ),
  VOLUME_NOT_SHARED: row(
    Code.FailedPrecondition,
    "A shared volume is not the same storage on both nodes",
    "Mount the same storage at this path on both nodes, or start the workload with the volume as sync.",
  ),

  MIGRATION_NOT_FOUND: row(Code.NotFound, "No such migration", "`aether migrations` lists them."),
  MIGRATION_IN_PROGRESS: row(
    Code.Aborted,
    "The workload is being moved already",
    "Wait for the migration that is named, or cancel it.",
    "backoff",
  ),
  MIGRATION_PAST_COMMIT: row(Code.FailedPrecondition, "The commit is made; it cannot be cancelled", "Migrate back instead."),
  MIGRATION_SAME_NODE: row(Code.InvalidArgument, "The workload runs on that node", "Name another node."),
  SETTLE_REFUSED: row(
    Code.FailedPrecondition,
    "The move cannot be settled like this",
    "`aether migrations` shows its state; only one that needs a person can be settled.",
  ),
  MODE_UNAVAILABLE: row(
    Code.FailedPrecondition,
    "The workload's memory cannot travel in the mode that was asked for",
    "Take the mode that is named, or --mode auto.",
  ),
  PREFLIGHT_REFUSED: row(Code.FailedPrecondition, "The workload cannot be moved as it is", "Each blocker says what to change."),
  CHECKPOINT_FAILED: row(Code.Internal, "The checkpoint failed", "The reason is from the checkpoint log; the workload runs on.", "backoff"),
  RESTORE_FAILED: row(Code.Internal, "The restore failed", "The reason is from the restore log; the source runs on.", "backoff"),
  TRANSFER_FAILED: row(
    Code.Unavailable,
    "The link between the nodes failed",
    "Check the route and the port between the two nodes.",
    "backoff",
  ),
  VERIFY_MISMATCH: row(
    Code.DataLoss,
    "What arrived is not what left",
    "The move was rolled back; look at the link and the disks.",
    "backoff",
  ),
  RESUME_UNCONFIRMED: row(
    Code.Unavailable,
    "The target did not confirm that the workload runs",
    "Look at the target node; the frozen copy is kept on the source.",
  ),
  THAW_UNCONFIRMED: row(
    Code.Unavailable,
    "The source did not confirm that the workload runs again",
    "Look at the source node; it is thawed as soon as it is back.",
  ),
  SOURCE_LOST: row(
    Code.DataLoss,
    "The source vanished in the middle of the freeze",
    "A stopped copy is kept on the target; look first whether the source still runs its own.",
  ),
  PAGES_LOST: row(
    Code.DataLoss,
    "Pages of memory did not reach the target",
    "Restore the workload from a snapshot; both copies are kept for inspection.",
  ),
  HEALTH_FAILED: row(Code.FailedPrecondition, "The health check failed", "The detail is what the check answered."),
  STALE_EPOCH: row(Code.Aborted, "The command is for an epoch that is over", "Nothing to do: a newer placement exists."),
  LEADERSHIP_LOST: row(
    Code.Unavailable,
    "Another control plane leads now",
    "Nothing to do: this one stands by and takes over when it is needed.",
    "backoff",
  ),
  STALE_TERM: row(Code.Aborted, "The command comes from a control plane that leads no more", "Nothing to do: another one took over."),
  STALE_FENCE: row(Code.Aborted, "The command comes from a control plane whose lease is over", "Nothing to do: another one took over."),
  COMMAND_EXPIRED: row(Code.DeadlineExceeded, "The command arrived too late", "It was not begun; it is sent again if still wanted.", "now"),
  STEP_INTERRUPTED: row(Code.Aborted, "The agent restarted in the middle of the step", "The migration is rolled back by itself.", "now"),

  SNAPSHOT_NOT_FOUND: row(Code.NotFound, "No such snapshot", "`aether snapshots` lists them."),
  SNAPSHOT_CORRUPT: row(Code.DataLoss, "The snapshot's bytes do not match its manifest", "It is kept for inspection; restore another one."),
  SNAPSHOT_KEPT: row(
    Code.FailedPrecondition,
    "The snapshot is pinned or in use",
    "`aether snapshots unpin SNAPSHOT` first, or wait until it is restored.",
  ),
  SNAPSHOT_STORE_UNAVAILABLE: row(
    Code.Unavailable,
    "The store of snapshots cannot be reached",
    "Check the bucket, its region and the node's own credentials; nothing is known of what the store holds.",
    "backoff",
  ),
  SNAPSHOT_OVER_BUDGET: row(
    Code.FailedPrecondition,
    "The workload would have to stand still for longer than it allows",
    "Raise its objective (--max-freeze), or make one all the same: aether checkpoint NAME --any-freeze.",
  ),
  SNAPSHOT_NOT_READY: row(Code.FailedPrecondition, "The snapshot is not complete", "Wait for it, or take a new one."),
  COMMAND_ENDED: row(Code.FailedPrecondition, "The command has ended", "Nothing to cancel: its outcome is what counts."),
  COMMAND_NOT_FOUND: row(Code.NotFound, "No such command", "They are kept for a week."),
  TRANSFER_NOT_FOUND: row(Code.NotFound, "No such transfer is under way", "It has ended; what asked for it begins another."),
  UPLOAD_RUNNING: row(Code.Aborted, "The same upload runs", "Wait for it, or use another upload id.", "backoff"),
  DIGEST_MISMATCH: row(Code.DataLoss, "What came is not what was said to come", "Send it again from the beginning."),
  ARTIFACT_UNREADABLE: row(Code.InvalidArgument, "The file is not a snapshot", "Send a file that `aether snapshots download` has written."),
  SNAPSHOT_EXISTS: row(Code.AlreadyExists, "The snapshot is in the store", "Nothing to do; `aether snapshots` shows it."),
  BACKUP_RUNNING: row(Code.Aborted, "A backup is being made", "Wait until it is done.", "backoff"),
  BACKUP_UNREADABLE: row(
    Code.DataLoss,
    "It is not a whole backup, or the passphrase or key is another one",
    "Look whether the file was copied whole, and try the other passphrase or key.",
  ),
  DRILL_NOT_FOUND: row(Code.NotFound, "No such drill", "`aether drill report` lists them."),
  DRILL_RUNNING: row(Code.Aborted, "A drill runs on that node", "`aether drill stop` ends it."),
  DRILL_UNAVAILABLE: row(
    Code.FailedPrecondition,
    "Interruptions cannot be announced here",
    "Configure `drill.injector`; the local cloud does by itself.",
  ),
  POLICY_NOT_FOUND: row(Code.NotFound, "No such policy", "`aether policy ls` lists them."),
  RUNBOOK_NOT_FOUND: row(Code.NotFound, "No such runbook", "`aether runbook list` lists them."),
  RUNBOOK_BUILT_IN: row(
    Code.FailedPrecondition,
    "A runbook that is built in cannot be changed",
    "Copy it under another name: `aether runbook show NAME` prints the file that `aether runbook add` takes.",
  ),
  RUN_NOT_FOUND: row(Code.NotFound, "No such run", "`aether runbook runs` lists them."),
  RUN_UNDER_WAY: row(Code.Aborted, "The same run is under way", "Watch it: `aether runbook watch RUN`; or cancel it."),
  RUN_ENDED: row(Code.FailedPrecondition, "The run has ended", "Nothing to do; start another one."),
  RUN_NOT_WAITING: row(Code.FailedPrecondition, "The run waits for nobody", "Look at it again: `aether runbook watch RUN`."),
  CHECK_FAILED: row(Code.FailedPrecondition, "What a runbook checks is not so", "Mend what is named, and start another run."),
  CONFIRM_REFUSED: row(Code.FailedPrecondition, "A person has refused to go on", "Nothing to do; the note says why."),
  MOVE_FAILED: row(Code.FailedPrecondition, "A workload did not move", "`aether migrations` lists the attempts, each with its reason."),
  DRILL_FAILED: row(Code.FailedPrecondition, "The drill did not pass", "`aether drill report` says which check failed."),
  DRILL_SCHEDULE_NOT_FOUND: row(Code.NotFound, "No such schedule", "`aether drill schedules` lists them."),
  DRILL_SCHEDULE_EXISTS: row(Code.AlreadyExists, "A schedule has this name", "Choose another name, or delete the old one."),
  AUDIT_ENTRY_NOT_FOUND: row(Code.NotFound, "The audit has no such entry", "`aether audit` lists them."),
  DECISION_NOT_FOUND: row(Code.NotFound, "No such decision", "`aether decisions` lists them."),
  SIGN_IN_REFUSED: row(Code.Unauthenticated, "Name or password is wrong", "Try again, or ask an admin for a sign-in link."),
  SIGN_IN_LOCKED: row(
    Code.ResourceExhausted,
    "Too many wrong passwords for this name",
    "Wait as long as is said, or ask an admin for a sign-in link.",
    "backoff",
  ),
  SIGN_IN_LINK_INVALID: row(
    Code.Unauthenticated,
    "The link is unknown, used or expired",
    "A link works once; `aether account link NAME` makes a new one.",
  ),
  CROSS_SITE: row(Code.PermissionDenied, "The request came from another site's page", "Open the dashboard itself and do it there."),
  PASSWORD_WEAK: row(Code.InvalidArgument, "The password cannot be used", "Use 12 to 200 characters that are not the account's name."),
  ACCOUNT_NOT_FOUND: row(Code.NotFound, "No such account", "`aether account list` lists them."),
  ACCOUNT_EXISTS: row(Code.AlreadyExists, "An account of this name exists", "Choose another name."),
  LAST_ADMIN: row(Code.FailedPrecondition, "It is the last account that is an admin", "Make another account an admin first."),
  SESSION_NOT_FOUND: row(Code.NotFound, "No such session", "It may have ended; look at the list of sessions."),
  EVENTS_GONE: row(
    Code.OutOfRange,
    "Events after this position are not kept any more",
    "Read the present state anew, then follow the stream from its newest event (after=0).",
  ),
  TOKEN_NOT_FOUND: row(Code.NotFound, "No such token", "`aether token list` lists them."),

  TOOL_MISSING: row(Code.FailedPrecondition, "A program that is needed is not installed", "`aether doctor` says how to install it."),
  TOOL_FAILED: row(Code.Internal, "A program that was called failed", "Its output is in the message.", "backoff"),
  TOOL_TIMEOUT: row(
    Code.DeadlineExceeded,
    "A program that was called did not end in time and was killed",
    "Look at the machine's load.",
    "backoff",
  ),
  DISK_FULL: row(Code.ResourceExhausted, "No space is left on the disk", "Free space in the directory that is named."),
  LOCKED: row(Code.FailedPrecondition, "Another process uses this directory", "Stop it, or give another --dir."),
  CONFIG_INVALID: row(Code.InvalidArgument, "The configuration is not valid", "Correct the key that is named."),
  STORAGE_FAILED: row(Code.Unavailable, "The database did not answer", "Look at the disk and the log of the control plane.", "backoff"),
} as const satisfies Record<string, FaultRow>;

export type FaultCode = keyof typeof faults;

export interface FaultOptions {
  /** The request field at fault, as a JSON path. */
  readonly field?: string;
  readonly cause?: unknown;
  /** Replaces the row's hint where the case knows better. */
  readonly hint?: string;
  /** Facts for programs, all strings. */
  readonly details?: Readonly<Record<string, string>>;
}

/** Errors travel in headers, and headers are short: one that quotes a megabyte of somebody's input would not arrive at all. */
const cut = (text: string): string => (text.length > 1000 ? `${text.slice(0, 1000).toWellFormed()}…` : text);

/** The one error class. Make it with `fault()`; turn anything caught into one with `Fault.from`. */
export class Fault extends Error {
  readonly code: FaultCode;
  readonly field: string | undefined;
  readonly hint: string;
  readonly details: Readonly<Record<string, string>>;

  constructor(code: FaultCode, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "Fault";
    this.code = code;
    this.field = options.field;
    this.hint = options.hint ?? faults[code].hint;
    this.details = options.details ?? {};
  }

  get row(): FaultRow {
    return faults[this.code];
  }

  /**
   * Whatever was caught, as a Fault. A ConnectError that carries our code (header `aether-code`) becomes that Fault again;
   * an abort becomes CANCELLED; anything unknown becomes INTERNAL with the original as its cause, whose text must not leave the process.
   */
  static from(caught: unknown): Fault {
    if (caught instanceof Fault) return caught;
    if (caught instanceof ConnectError) return fromConnect(caught);
    if (caught instanceof Error && (caught.name === "AbortError" || caught.name === "TimeoutError")) {
      return caught.cause instanceof Fault
        ? caught.cause
        : new Fault(caught.name === "TimeoutError" ? "DEADLINE_EXCEEDED" : "CANCELLED", caught.message, { cause: caught });
    }
    if (errnoOf(caught) === "ENOSPC")
      return new Fault("DISK_FULL", caught instanceof Error ? caught.message : "no space left", { cause: caught });
    return new Fault("INTERNAL", caught instanceof Error ? caught.message : String(caught), { cause: caught });
  }

  /** For the wire: our code, field and hint travel as metadata beside the RPC code. INTERNAL leaves without its text. */
  toConnectError(traceId = ""): ConnectError {
    const text = this.code === "INTERNAL" ? `${this.row.title}${traceId ? ` (id ${traceId})` : ""}` : cut(this.message);
    const headers: Record<string, string> = { "aether-code": this.code, "aether-hint": encodeURIComponent(cut(this.hint)) };
    if (this.field !== undefined) headers["aether-field"] = encodeURIComponent(cut(this.field));
    if (Object.keys(this.details).length > 0) headers["aether-details"] = encodeURIComponent(JSON.stringify(this.details));
    if (this.details.retryAfterSeconds !== undefined) headers["retry-after"] = this.details.retryAfterSeconds;
    if (traceId) headers["aether-trace-id"] = traceId;
    return new ConnectError(text, this.row.rpc, headers, undefined, this);
  }
}

/** Makes a Fault: `throw fault("WORKLOAD_NOT_FOUND", `there is no workload "${name}"`, { field: "name" })`. */
export function fault(code: FaultCode, message?: string, options?: FaultOptions): Fault {
  return new Fault(code, message ?? faults[code].title, options);
}

/** Is this text a code of the table? */
export function isFaultCode(text: string): text is FaultCode {
  return Object.hasOwn(faults, text);
}

function fromConnect(error: ConnectError): Fault {
  const code = error.metadata.get("aether-code") ?? "";
  if (!isFaultCode(code)) return new Fault(codeOfRpc(error.code), error.rawMessage, { cause: error });
  const field = error.metadata.get("aether-field");
  const hint = error.metadata.get("aether-hint");
  return new Fault(code, error.rawMessage, {
    cause: error,
    ...(field === null ? {} : { field: decodeURIComponent(field) }),
    ...(hint === null ? {} : { hint: decodeURIComponent(hint) }),
    details: parseDetails(error.metadata.get("aether-details")),
  });
}

function parseDetails(text: string | null): Record<string, string> {
  if (text === null) return {};
  const parsed: unknown = JSON.parse(decodeURIComponent(text));
  if (typeof parsed !== "object" || parsed === null) return {};
  return Object.fromEntries(Object.entries(parsed).map(([key, value]) => [key, String(value)]));
}

function codeOfRpc(code: Code): FaultCode {
  if (code === Code.InvalidArgument) return "INVALID_ARGUMENT";
  if (code === Code.Unauthenticated) return "UNAUTHENTICATED";
  if (code === Code.PermissionDenied) return "PERMISSION_DENIED";
  if (code === Code.Canceled) return "CANCELLED";
  if (code === Code.DeadlineExceeded) return "DEADLINE_EXCEEDED";
  if (code === Code.Unavailable) return "UNAVAILABLE";
  if (code === Code.NotFound || code === Code.Unimplemented) return "ROUTE_NOT_FOUND";
  if (code === Code.ResourceExhausted) return "RATE_LIMITED";
  return "INTERNAL";
}

function errnoOf(caught: unknown): string | undefined {
  return typeof caught === "object" && caught !== null && "code" in caught && typeof caught.code === "string" ? caught.code : undefined;
}
