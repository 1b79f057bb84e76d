// What often holds secrets (the environment of a workload) leaves covered for whoever may only look: the names stay, the values do not. Here once, for every
// answer of every RPC; nodes are told all of what they run.
import { Role } from "@aether/contract";
import type { DescMessage, Message } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { isAllowed } from "../access/roles.ts";
import { callerOf } from "./caller.ts";
import { carriesCovered, withCovers } from "./redact.ts";

const known = new Map<DescMessage, boolean>();

export const coverInterceptor: Interceptor = (next) => async (request) => {
  const response = await next(request);
  const { role } = callerOf({ values: request.contextValues });
  const type = request.method.output;
  const isCarrying = known.get(type) ?? carriesCovered(type);
  known.set(type, isCarrying);
  if (!isCarrying || role === Role.AGENT || isAllowed(Role.OPERATOR, role)) return response;
  if (!response.stream) return { ...response, message: withCovers(type, response.message as Message) } as typeof response;
  return { ...response, message: each(type, response.message as AsyncIterable<Message>) } as typeof response;
};

async function* each(type: DescMessage, messages: AsyncIterable<Message>): AsyncGenerator<Message> {
  for await (const message of messages) yield withCovers(type, message);
}
