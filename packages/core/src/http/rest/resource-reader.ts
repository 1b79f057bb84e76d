// What a change is about, read by the contract's own reading of it: StopWorkload{name} is about what GetWorkload{name} answers.
import { create, type DescMessage, type DescMethodUnary, type JsonValue, type Message, toJson } from "@bufbuild/protobuf";
import { type ConnectRouter, createConnectRouter } from "@connectrpc/connect";
import type { ReadResource } from "../../audit/interceptor.ts";
import { withoutSecrets } from "../redact.ts";
import { type Binding, bindingsOf, resourceOf } from "./bindings.ts";
import { inMemoryTransport } from "./in-memory.ts";

/** Reads without gate and interceptors, for a caller who has been let in already. */
export function createResourceReader(routes: (router: ConnectRouter) => void): ReadResource {
  const router = createConnectRouter();
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const bindings = bindingsOf(new Set(router.handlers.map(({ service }) => service)));
  return async (method, message, request) => {
    const change = bindings.find((binding) => binding.method === method && !binding.isAdditional);
    const resource = change === undefined ? undefined : resourceOf(bindings, change);
    if (change === undefined || resource === undefined) return undefined;
    const reading = resource.method as DescMethodUnary;
    const transport = inMemoryTransport(handlers, request.contextValues);
    try {
      const answer = await transport.unary(reading, request.signal, undefined, undefined, asked(change, resource, message) as never);
      return toJson(reading.output, withoutSecrets(reading.output, answer.message), { alwaysEmitImplicit: true }) as JsonValue;
    } catch {
      return undefined; // it does not exist, or not any more
    }
  };
}

/** The reading's request, with the path's names taken from the change's. */
function asked(change: Binding, resource: Binding, message: Message): Message {
  const request = create(resource.method.input);
  for (const [i, path] of resource.variables.entries()) {
    const value = (change.variables[i] ?? []).reduce<{ type: DescMessage | undefined; at: unknown }>(
      ({ type, at }, name) => {
        const field = type?.fields.find((each) => each.name === name);
        return { type: field?.message, at: field === undefined ? undefined : Reflect.get(at as object, field.localName) };
      },
      { type: change.method.input, at: message },
    ).at;
    const field = resource.method.input.fields.find(({ name }) => name === path[0]);
    if (field !== undefined && path.length === 1) Reflect.set(request, field.localName, value);
  }
  return request;
}
