// Idempotency-Key: the same key with the same body gets the same answer for 24 h, whatever the protocol; another body gets 409. A key whose
// first request still runs gets 409 too; one whose request died with the process is free again.
import { createHash } from "node:crypto";
import { fault, isFaultCode, Role } from "@aether/contract";
import { type DescMethodUnary, fromJson, type JsonValue, type Message, toBinary, toJson } from "@bufbuild/protobuf";
import type { Interceptor, UnaryRequest, UnaryResponse } from "@connectrpc/connect";
import { roleOf } from "../access/roles.ts";
import type { Db } from "../db/database.ts";
import { answerKey, callerOf } from "./caller.ts";
import { faultOf, statusOf } from "./error-body.ts";
import { isRead } from "./method-facts.ts";
import { carriesSecret, withoutSecrets } from "./redact.ts";

export const keepMs = 86_400_000;
/** No request takes this long: a key that is still held then was left by a control plane that died, on a database that others share. */
const forgottenMs = 600_000;

export function idempotencyInterceptor(db: Db, nowMs: () => number): Interceptor {
  return (next) => async (request) => {
    const key = request.header.get("idempotency-key");
    const role = roleOf(request.method);
    // Agents repeat by the ids of their own messages, and who has no credential has no name to keep a key under.
    if (key === null || request.stream || isRead(request.method) || role === Role.AGENT || role === Role.NONE) return next(request);
    // A hash of a request with a password could be tried out word by word; such requests are few, and repeating one does no harm.
    if (carriesSecret(request.method.input)) return next(request);
    if (!/^[\x21-\x7e]{1,128}$/.test(key)) {
      throw fault("INVALID_ARGUMENT", "Idempotency-Key is 1 to 128 printable characters without space", { field: "Idempotency-Key" });
    }
    const { actor } = callerOf({ values: request.contextValues });
    const route = `${request.service.typeName}/${request.method.name}`;
    const bodyHash = createHash("sha256")
      .update(toBinary(request.method.input, request.message as Message))
      .digest("base64url");
    const taken = await db
      .insertInto("idempotency_keys")
      .values({ actor, key, route, body_sha256: bodyHash, created_at: new Date(nowMs()) })
      .onConflict((conflict) =>
        conflict
          .columns(["actor", "key"])
          .doUpdateSet({ route, body_sha256: bodyHash, created_at: new Date(nowMs()), status: null, response: null })
          .where((eb) =>
            eb.or([
              eb("idempotency_keys.created_at", "<", new Date(nowMs() - keepMs)),
              eb.and([eb("idempotency_keys.status", "is", null), eb("idempotency_keys.created_at", "<", new Date(nowMs() - forgottenMs))]),
            ]),
          ),
      )
      .returning("key")
      .executeTakeFirst();
    if (taken === undefined) return replay(db, request, { actor, key, route, bodyHash });

    const row = db.updateTable("idempotency_keys").where("actor", "=", actor).where("key", "=", key);
    try {
      const response = (await next(request)) as UnaryResponse;
      await row.set({ status: 200, response: JSON.stringify(keptAnswer(request.method, response.message)) }).execute();
      return response;
    } catch (caught) {
      const problem = faultOf(caught);
      const { code, message, hint, field, details } = problem;
      // What may go better next time is not an answer to keep.
      if (problem.row.retry === "never" && code !== "INTERNAL" && code !== "PRECONDITION_FAILED") {
        await row.set({ status: statusOf(problem), response: JSON.stringify({ code, message, hint, field, details }) }).execute();
      } else {
        await db.deleteFrom("idempotency_keys").where("actor", "=", actor).where("key", "=", key).execute();
      }
      throw caught;
    }
  };
}

/** At the start of the only process on this database: the requests that held these keys died with the last one. */
export async function releaseKeys(db: Db): Promise<void> {
  await db.deleteFrom("idempotency_keys").where("status", "is", null).execute();
}

/** A secret is shown once and never kept: a replay of its making has all but the secret. */
const keptAnswer = (method: DescMethodUnary, answer: Message): JsonValue => toJson(method.output, withoutSecrets(method.output, answer));

interface Asked {
  readonly actor: string;
  readonly key: string;
  readonly route: string;
  readonly bodyHash: string;
}

async function replay(db: Db, request: UnaryRequest, { actor, key, route, bodyHash }: Asked): Promise<UnaryResponse> {
  const row = await db.selectFrom("idempotency_keys").selectAll().where("actor", "=", actor).where("key", "=", key).executeTakeFirst();
  if (row === undefined || row.status === null || row.response === null) {
    if (row === undefined || (row.body_sha256 === bodyHash && row.route === route)) {
      throw fault("IDEMPOTENCY_KEY_BUSY", "the first request with this Idempotency-Key still runs", { field: "Idempotency-Key" });
    }
  }
  if (row.body_sha256 !== bodyHash || row.route !== route || row.response === null) {
    throw fault("IDEMPOTENCY_KEY_REUSED", "this Idempotency-Key was used for another request", { field: "Idempotency-Key" });
  }
  const kept: unknown = JSON.parse(row.response);
  if (row.status === 200) {
    const method: DescMethodUnary = request.method;
    const answer = request.contextValues.get(answerKey);
    answer?.responseHeader.set("idempotent-replayed", "true");
    return {
      stream: false,
      service: request.service,
      method,
      header: answer?.responseHeader ?? new Headers(),
      trailer: answer?.responseTrailer ?? new Headers(),
      message: fromJson(method.output, kept as never, { ignoreUnknownFields: true }),
    };
  }
  const problem = kept as { code: string; message: string; hint: string; field?: string; details: Record<string, string> };
  throw fault(isFaultCode(problem.code) ? problem.code : "INTERNAL", problem.message, {
    hint: problem.hint,
    details: problem.details,
    ...(problem.field === undefined ? {} : { field: problem.field }),
  });
}
