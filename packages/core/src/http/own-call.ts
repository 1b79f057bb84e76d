// One handler of ours asks another, for the same caller: behind the gate, which has let him in already.
import { create, type DescMessage, type DescMethodUnary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { type ConnectRouter, createConnectRouter, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import { inMemoryTransport, keepFaults } from "./rest/in-memory.ts";

export type OwnCall = <Input extends DescMessage, Output extends DescMessage>(
  method: DescMethodUnary<Input, Output>,
  message: MessageInitShape<Input>,
  context: Pick<HandlerContext, "values" | "signal">,
) => Promise<MessageShape<Output>>;

/** @param interceptors what stands before the handlers here too: an act for somebody is on the audit. */
export function createOwnCall(routes: (router: ConnectRouter) => void, interceptors: readonly Interceptor[] = []): OwnCall {
  const router = createConnectRouter({ interceptors: [keepFaults, ...interceptors] });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return async (method, message, { values, signal }) => {
    const answer = await inMemoryTransport(handlers, values).unary(
      method,
      signal,
      undefined,
      undefined,
      create(method.input, message) as never,
    );
    return answer.message;
  };
}
