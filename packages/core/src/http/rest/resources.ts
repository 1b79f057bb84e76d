// What a change is about, read by the contract's own reading of it: StopWorkload{name} is about what GetWorkload{name} answers.
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  type JsonObject,
  type JsonValue,
  type Message,
  toJson,
} from "@bufbuild/protobuf";
import { Code, type ConnectRouter, createConnectRouter, type UnaryRequest } from "@connectrpc/connect";
import { faultOf } from "../error-body.ts";
import { withoutSecrets } from "../redact.ts";
import { type Binding, bindingsOf, resourceOf } from "./bindings.ts";
import { resourceTag } from "./entity-tag.ts";
import { inMemoryTransport, keepFaults } from "./in-memory.ts";

export interface ResourceState {
  /** Without secrets. */
  readonly json: JsonValue;
  /** As the reading's answer carries it. */
  readonly tag: string;
}

/** The one resource that a change's request is about. */
export interface Resource {
  /** The same for every change of the same resource, also where some name it by its id and others by its name. @param now as it was read. */
  keyOf(now: ResourceState | undefined): string;
  /** A PUT makes it where it is not there. */
  readonly isMadeByChange: boolean;
  /** As it is now; undefined: it does not exist. Throws what the reading throws. */
  read(): Promise<ResourceState | undefined>;
}

export interface Resources {
  /** Undefined: the change is about none that can be read. */
  of(method: DescMethod, message: Message, request: Pick<UnaryRequest, "signal" | "contextValues">): Resource | undefined;
  /** Is a change of this kind about a resource? */
  isAboutOne(method: DescMethod): boolean;
  /** Does this method read a resource that some method changes? */
  isReading(method: DescMethod): boolean;
}

/** Reads without gate and interceptors, for a caller who has been let in already. */
export function createResources(routes: (router: ConnectRouter) => void): Resources {
  const router = createConnectRouter({ interceptors: [keepFaults] });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const bindings = bindingsOf(new Set(router.handlers.map(({ service }) => service)));
  const pairs = new Map<DescMethod, { readonly change: Binding; readonly reading: Binding }>();
  for (const change of bindings) {
    const reading = change.isAdditional || change.verb === "GET" ? undefined : resourceOf(bindings, change);
    if (reading !== undefined) pairs.set(change.method, { change, reading });
  }
  const readings = new Set([...pairs.values()].map(({ reading }) => reading.method));
  return {
    isAboutOne: (method) => pairs.has(method),
    isReading: (method) => readings.has(method),
    of(method, message, { signal, contextValues }) {
      const pair = pairs.get(method);
      if (pair === undefined) return undefined;
      const { change, reading } = pair;
      const { input, output } = reading.method;
      const request = asked(change, reading, message);
      return {
        keyOf(now) {
          const named = toJson(input, request) as JsonObject;
          const id = idOf(now?.json);
          return `${reading.method.name} ${JSON.stringify(named.id === undefined || id === undefined ? named : { ...named, id })}`;
        },
        isMadeByChange: change.verb === "PUT",
        async read() {
          try {
            const transport = inMemoryTransport(handlers, contextValues);
            const answer = await transport.unary(reading.method as DescMethodUnary, signal, undefined, undefined, request as never);
            const json = toJson(output, withoutSecrets(output, answer.message), { alwaysEmitImplicit: true }) as JsonValue;
            return { json, tag: resourceTag(output, answer.message) };
          } catch (caught) {
            if (faultOf(caught).row.rpc === Code.NotFound) return undefined;
            throw caught;
          }
        },
      };
    },
  };
}

/** Of an answer that is one resource: `{ "schedule": { "id": … } }`. */
function idOf(json: JsonValue | undefined): string | undefined {
  const [resource] = json !== null && typeof json === "object" ? Object.values(json) : [];
  const id = resource !== null && typeof resource === "object" && !Array.isArray(resource) ? resource.id : undefined;
  return typeof id === "string" ? id : undefined;
}

/** The reading's request, with the path's names taken from the change's. */
function asked(change: Binding, resource: Binding, message: Message): Message {
  const request = create(resource.method.input);
  for (const [i, path] of resource.variables.entries()) {
    const value = (change.variables[i] ?? []).reduce<{ type: DescMessage | undefined; at: unknown }>(
      ({ type, at }, name) => {
        const field = type?.fields.find((each) => each.name === name);
        const isThere = field !== undefined && typeof at === "object" && at !== null;
        return { type: field?.message, at: isThere ? Reflect.get(at, field.localName) : undefined };
      },
      { type: change.method.input, at: message },
    ).at;
    const field = resource.method.input.fields.find(({ name }) => name === path[0]);
    if (field !== undefined && path.length === 1 && value !== undefined) Reflect.set(request, field.localName, value);
  }
  return request;
}
