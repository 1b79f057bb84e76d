// Records every call that needs an operator or an admin, with its outcome, in the transaction that it makes. Secrets are not in it: of a
// request only the fields that name what it is about are kept, and of the resource what differs before and after.
import { Role } from "@aether/contract";
import type { JsonValue, Message } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { roleOf } from "../access/roles.ts";
import { callerOf } from "../http/caller.ts";
import { faultOf } from "../http/error-body.ts";
import { preconditionOf } from "../http/precondition.ts";
import type { Resources } from "../http/rest/resources.ts";
import type { Acts } from "./act.ts";
import { actionName } from "./action-name.ts";
import type { Audit } from "./audit.ts";

/** A client with an oracle reports every second: facts, not acts. And who looks at accounts does nothing to them. */
const notActs = new Set(["drill.report-oracle", "account.get", "account.list-accounts"]);

/** The innermost: what it sees is the act itself, not its repetition by an Idempotency-Key. */
export function auditInterceptor(audit: Pick<Audit, "record">, acts: Acts, resources: Pick<Resources, "of">): Interceptor {
  return (next) => async (request) => {
    const action = actionName(request.method);
    const role = roleOf(request.method);
    if ((role !== Role.OPERATOR && role !== Role.ADMIN) || notActs.has(action)) return next(request);
    const caller = callerOf({ values: request.contextValues });
    const about = request.stream ? { subject: "", data: {} } : describe(action, request.message as Message);
    if (caller.cause !== undefined) about.data.cause = caller.cause;
    const entry = { actor: caller.actor, sourceAddress: caller.sourceAddress, action, ...about, traceId: caller.traceId };
    const resource = request.stream ? undefined : resources.of(request.method, request.message as Message, request);
    const require = preconditionOf(request.header, resource, about.subject);
    const before = await resource?.read().catch((caught: unknown) => {
      if (require !== undefined) throw caught;
      return undefined; // the act may mend just that
    });
    const acted = resource && { key: resource.keyOf(before), before: before?.json, read: resource.read, require };
    const { isOnRecord, result } = await acts.run({ entry, resource: acted }, async () => {
      require?.(before);
      return next(request);
    });
    if (result.status === "rejected") {
      // Also where its first step is on record: what it was to lead to did not come.
      await audit.record({ ...entry, outcome: "failed", data: { ...about.data, code: faultOf(result.reason).code } });
      throw result.reason;
    }
    if (!isOnRecord) await audit.record({ ...entry, outcome: "ok" });
    return result.value;
  };
}
/** Fields that hold the one resource of a request. */
const inner = ["spec", "policy", "runbook"];
const subjectFields = ["name", "workload", "id", "nodeId"];
const keptFields = [
  "name",
  "workload",
  "id",
  "nodeId",
  "targetNodeId",
  "role",
  "force",
  "reason",
  "kind",
  "windowSeconds",
  "argv",
  "step",
  "isRefused",
  "note",
  "undo",
];

/** A drill that is begun has no id yet: it is about its node. */
const nounOf = (field: string): string | undefined => (field === "workload" ? "workload" : field === "nodeId" ? "node" : undefined);

function describe(action: string, message: Message): { subject: string; data: { [key: string]: JsonValue } } {
  const facts = new Map<string, JsonValue>();
  // The request itself says what it is about, or the one resource in it does.
  for (const source of [...inner.map((field) => Reflect.get(message, field)), message] as unknown[]) {
    if (typeof source !== "object" || source === null) continue;
    for (const field of keptFields) {
      const value: unknown = Reflect.get(source, field);
      if (typeof value === "string" && value !== "") facts.set(field, value.slice(0, 300));
      else if (typeof value === "number" || value === true) facts.set(field, value);
      else if (Array.isArray(value) && value.length > 0)
        facts.set(
          field,
          value.slice(0, 50).map((item) => String(item).slice(0, 300)),
        );
    }
  }
  const key = subjectFields.find((field) => typeof facts.get(field) === "string");
  const noun = action.split(".")[0] ?? "";
  return {
    subject: key === undefined ? noun : `${nounOf(key) ?? noun}/${String(facts.get(key))}`,
    data: Object.fromEntries(facts),
  };
}
