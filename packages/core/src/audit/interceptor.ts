// Records every call that needs an operator or an admin, with its outcome. Secrets are not in it: of a request only the fields that
// name what it is about are kept.
import { Role } from "@aether/contract";
import type { JsonValue, Message } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { roleOf } from "../access/roles.ts";
import { callerOf } from "../http/caller.ts";
import { faultOf } from "../http/error-body.ts";
import { actionName } from "./action-name.ts";
import type { Audit } from "./audit.ts";

/** A client with an oracle reports every second: facts, not acts. */
const notActs = new Set(["drill.report-oracle"]);

export function auditInterceptor(audit: Pick<Audit, "record">): Interceptor {
  return (next) => async (request) => {
    const action = actionName(request.method);
    const role = roleOf(request.method);
    if ((role !== Role.OPERATOR && role !== Role.ADMIN) || notActs.has(action)) return next(request);
    const caller = callerOf({ values: request.contextValues });
    const about = request.stream ? { subject: "", data: {} } : describe(action, request.message as Message);
    const entry = { actor: caller.actor, sourceAddress: caller.sourceAddress, action, ...about, traceId: caller.traceId };
    try {
      const response = await next(request);
      await audit.record({ ...entry, outcome: "ok" });
      return response;
    } catch (caught) {
      await audit.record({ ...entry, outcome: "failed", data: { ...about.data, code: faultOf(caught).code } });
      throw caught;
    }
  };
}

const subjectFields = ["name", "workload", "id", "nodeId"];
const keptFields = ["name", "workload", "id", "nodeId", "targetNodeId", "role", "force", "reason", "kind", "windowSeconds", "argv"];

function describe(action: string, message: Message): { subject: string; data: { [key: string]: JsonValue } } {
  const facts = new Map<string, JsonValue>();
  const spec: unknown = Reflect.get(message, "spec");
  for (const source of [spec, message]) {
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
    subject: key === undefined ? noun : `${key === "workload" ? "workload" : noun}/${String(facts.get(key))}`,
    data: Object.fromEntries(facts),
  };
}
