// How many streams one credential may hold open: each costs memory and a look at every event, and a page that forgets to close them must not starve others.
import { fault } from "@aether/contract";
import type { Interceptor, StreamResponse } from "@connectrpc/connect";
import { callerOf } from "./caller.ts";

/** Agents have one session each, which the gateway sees to. */
export function streamLimitInterceptor(each: number): Interceptor {
  const open = new Map<string, number>();
  return (next) => async (request) => {
    const caller = callerOf({ values: request.contextValues });
    if (!request.stream || caller.nodeId !== undefined || request.method.methodKind !== "server_streaming") return next(request);
    const key = caller.session?.id ?? caller.actor;
    const count = open.get(key) ?? 0;
    if (count >= each)
      throw fault("RATE_LIMITED", `${caller.actor} has ${count} streams open, as many as one credential may`, {
        hint: "Close one, or use a token of its own for each program.",
        details: { retryAfterSeconds: "5" },
      });
    open.set(key, count + 1);
    const leave = once(() => {
      const left = (open.get(key) ?? 1) - 1;
      if (left <= 0) open.delete(key);
      else open.set(key, left);
    });
    // A stream that nobody ever reads ends with its request.
    request.signal.addEventListener("abort", leave, { once: true });
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: counted(response, leave) } : response;
    } catch (caught) {
      leave();
      throw caught;
    }
  };
}

async function* counted({ message }: StreamResponse, leave: () => void): StreamResponse["message"] {
  try {
    yield* message;
  } finally {
    leave();
  }
}

function once(work: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) work();
    isDone = true;
  };
}
