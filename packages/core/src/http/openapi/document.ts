// OpenAPI 3.1 of what is served, made from the same descriptors as the routes themselves: it cannot say anything else than they do.
import { type FaultCode, fault, faults, Role } from "@aether/contract";
import { comments } from "@aether/contract/gen/comments";
import type { DescField, DescMessage, DescMethod, DescService } from "@bufbuild/protobuf";
import { roleName, roleOf } from "../../access/roles.ts";
import { statusOf } from "../error-body.ts";
import { isRead } from "../method-facts.ts";
import { carriesSecret } from "../redact.ts";
import { type Binding, bindingsOf, resourceOf } from "../rest/bindings.ts";
import { isRawRequest, isRawResponse, rawContentTypeOf } from "../rest/raw.ts";
import { exampleOf } from "./example.ts";
import { createSchemas, type Schema, type Schemas } from "./schema.ts";

type Json = { readonly [key: string]: unknown };

/** The whole document, ready for JSON. */
export function openApiDocument(services: readonly DescService[], version: string): Json {
  const schemas = createSchemas();
  const paths: Record<string, Record<string, Json>> = {};
  const bindings = bindingsOf(services);
  for (const binding of bindings) {
    const path = binding.template.replace(/\{([^}=]+)(=[^}]*)?\}/g, (_, name: string) => `{${parameterName(name.split("."))}}`);
    paths[path] = { ...paths[path], [binding.verb.toLowerCase()]: operation(binding, schemas, bindings) };
  }
  const tagged = services.filter(({ methods }) => methods.length > 0);
  return {
    openapi: "3.1.0",
    info: {
      title: "Aether Guard",
      version,
      description: introduction,
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    tags: tagged.map((service) => ({ name: tagOf(service), description: comments[service.typeName] ?? "" })),
    security: [{ bearer: [] }, { session: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "`aether token create --role viewer|operator|admin` makes a token." },
        session: {
          type: "apiKey",
          in: "cookie",
          name: "aether_session",
          description:
            "What SignInService.SignIn sets, http-only. Behind a port of its own the name ends in that port, e.g. `aether_session_3000`; a change needs an `Origin` of the same site.",
        },
      },
      parameters,
      headers,
      responses: errorResponses(),
      schemas: { Error: errorSchema, ...schemas.components() },
    },
  };
}

const introduction = `One contract, served as gRPC, gRPC-web, Connect and REST on one port.

- Each route names the role that it needs; a route without a credential says so.
- Errors have one shape: \`error.code\` never changes, \`error.hint\` is the next step, \`error.field\` the field at fault, \`error.traceId\` the trace.
- \`Idempotency-Key\` on what changes something: the same key and body has the same answer for 24 hours, another body 409.
- Lists are pages: \`page.pageSize\` (at most 1000) and \`page.pageToken\`, which is \`nextPageToken\` of the page before.
- A reading has an \`ETag\`; \`If-None-Match\` answers 304, \`If-Match\` on a change 412 when the resource is not what was read.
- \`traceparent\` is continued and \`X-Request-Id\` echoed. 429 has \`Retry-After\`. A body has at most 1 MiB.
- Streams are NDJSON, one \`{"result": …}\` a line, or server-sent events for \`Accept: text/event-stream\`; \`Last-Event-ID\` resumes.`;

const hasDigest = (method: DescMethod): boolean => isRawRequest(method) && method.input.fields.some(({ name }) => name === "sha256");
const tagOf = (service: DescService) => service.name.replace(/Service$/, "");
/** Not with dots: some generators of clients take them for something else. */
const parameterName = (path: readonly string[]) => path.join("_");
const parameter = (name: string) => ({ $ref: `#/components/parameters/${name}` });

function operation(binding: Binding, schemas: Schemas, all: readonly Binding[]): Json {
  const { method } = binding;
  const role = roleOf(method);
  const text = comments[`${method.parent.typeName}.${method.name}`] ?? "";
  const [summary = ""] = /^.*?[.;:](?=\s|$)/.exec(text) ?? [text];
  const inPath = new Set(binding.variables.map((path) => path[0] ?? ""));
  const changes = !isRead(method);
  return {
    operationId: `${tagOf(method.parent)}_${method.name}${binding.isAdditional ? `_${binding.verb}_${binding.template.replace(/\W+/g, "_")}` : ""}`,
    tags: [tagOf(method.parent)],
    summary: summary.replace(/[.;:]$/, ""),
    ...(text === "" ? {} : { description: text }),
    "x-required-role": roleName(role),
    ...(role === Role.NONE ? { security: [] } : {}),
    parameters: [
      ...binding.variables.map((path) => pathParameter(method.input, path, schemas)),
      ...(binding.body === "" || isRawRequest(method)
        ? queryParameters(method.input, isRawRequest(method) ? new Set([...inPath, "data"]) : inPath, schemas)
        : []),
      ...(hasDigest(method) ? [parameter("ReprDigest")] : []),
      ...(isRawResponse(method) && method.input.fields.some(({ name }) => name === "offset") ? [parameter("Range")] : []),
      ...(changes && role !== Role.NONE && !carriesSecret(method.input) ? [parameter("IdempotencyKey")] : []),
      ...(changes && resourceOf(all, binding) !== undefined ? [parameter("IfMatch")] : []),
      ...(binding.verb === "GET" && method.methodKind === "unary" ? [parameter("IfNoneMatch")] : []),
      ...(method.methodKind === "server_streaming" && method.input.fields.some(({ name }) => name === "after")
        ? [parameter("LastEventId")]
        : []),
      parameter("Traceparent"),
      parameter("RequestId"),
    ],
    ...(binding.body === "" ? {} : { requestBody: requestBody(binding, inPath, schemas) }),
    responses: responses(binding, changes, schemas, resourceOf(all, binding) !== undefined),
  };
}

function requestBody({ body, method }: Binding, inPath: ReadonlySet<string>, schemas: Schemas): Json {
  if (isRawRequest(method)) return { required: true, content: { "application/octet-stream": { schema: bytes } } };
  const field = method.input.fields.find(({ name }) => name === body);
  const whole: Schema = inPath.size === 0 ? schemas.of(method.input) : schemas.without(method.input, inPath);
  const schema = field === undefined ? whole : schemas.field(field);
  const example = field?.message === undefined ? exampleOf(method.input, inPath) : exampleOf(field.message);
  return { required: false, content: { "application/json": { schema, example } } };
}

function pathParameter(message: DescMessage, path: readonly string[], schemas: Schemas): Json {
  const field = fieldAt(message, path);
  const schema = field === undefined ? { type: "string" } : schemas.field(field);
  return { name: parameterName(path), in: "path", required: true, schema: { ...schema, minLength: 1 }, ...described(schema) };
}

/** The leaves of the request, nested ones with dots. */
function queryParameters(message: DescMessage, without: ReadonlySet<string>, schemas: Schemas, prefix = "", depth = 0): Json[] {
  return message.fields.flatMap((field): Json[] => {
    if (without.has(field.name) || field.fieldKind === "map") return [];
    const isNested = field.fieldKind === "message" && !field.message.typeName.startsWith("google.");
    if (isNested) return depth > 2 ? [] : queryParameters(field.message, new Set(), schemas, `${prefix}${field.jsonName}.`, depth + 1);
    const schema = schemas.field(field);
    return [{ name: `${prefix}${field.jsonName}`, in: "query", required: false, schema, ...described(schema) }];
  });
}

const described = ({ description }: Schema): Json => (description === undefined ? {} : { description });

function fieldAt(message: DescMessage, path: readonly string[]): DescField | undefined {
  const field = message.fields.find(({ name }) => name === path[0]);
  return path.length > 1 && field?.message !== undefined ? fieldAt(field.message, path.slice(1)) : field;
}

function responses({ method, verb, body }: Binding, changes: boolean, schemas: Schemas, isOfResource: boolean): Json {
  const schema = schemas.of(method.output);
  const isStream = method.methodKind === "server_streaming";
  const hasRanges = isRawResponse(method) && method.input.fields.some(({ name }) => name === "offset");
  const content = isRawResponse(method)
    ? { [rawContentTypeOf(method)]: { schema: bytes } }
    : isStream
      ? {
          "application/x-ndjson": { schema: { type: "object", properties: { result: schema } } },
          "text/event-stream": { schema: { type: "string" } },
        }
      : { "application/json": { schema } };
  const common = { "X-Request-Id": { $ref: "#/components/headers/RequestId" }, traceparent: { $ref: "#/components/headers/Traceparent" } };
  const isTagged = verb === "GET" && !isStream;
  const refused = [
    "400",
    ...(roleOf(method) === Role.NONE ? ["401"] : ["401", "403"]),
    "404",
    ...(changes ? ["409"] : []),
    ...(changes && isOfResource ? ["412"] : []),
    ...(body === "" ? [] : ["413", "415"]),
    ...(hasRanges ? ["416"] : []),
    ...(isRawRequest(method) ? ["422"] : []),
    "429",
    "500",
    "503",
    "504",
    ...(changes ? ["507"] : []),
  ];
  return {
    "200": { description: "Done.", headers: { ...common, ...(isTagged ? { ETag: { $ref: "#/components/headers/ETag" } } : {}) }, content },
    ...(hasRanges ? { "206": { description: "The range that was asked for.", headers: common, content } } : {}),
    ...(isTagged ? { "304": { description: "Not changed since the ETag that was sent." } } : {}),
    ...Object.fromEntries(refused.map((status) => [status, { $ref: `#/components/responses/E${status}` }])),
  };
}

/** Of a file. */
const bytes = { type: "string", format: "binary" };

const errorSchema: Schema = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["code", "message", "hint", "traceId"],
      properties: {
        code: { type: "string", enum: Object.keys(faults), description: "Never changes its meaning." },
        message: { type: "string", description: "What happened, in a sentence." },
        hint: { type: "string", description: "The next step." },
        field: { type: "string", description: "The field of the request at fault." },
        traceId: { type: "string", pattern: "^[0-9a-f]{32}$", description: "Also in the log, the events and the audit." },
        details: { type: "object", additionalProperties: { type: "string" } },
      },
    },
  },
};

/** One a status: which codes it may carry, with the title of each, and one as an example. */
function errorResponses(): Json {
  const byStatus = new Map<number, FaultCode[]>();
  for (const code of Object.keys(faults) as FaultCode[]) {
    const status = statusOf(fault(code));
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, codes]) => {
        const [first = "INTERNAL"] = codes;
        const example = {
          error: { code: first, message: faults[first].title, hint: faults[first].hint, traceId: "4bf92f3577b34da6a3ce929d0e0e4736" },
        };
        return [
          `E${status}`,
          {
            description: codes.map((code) => `\`${code}\`: ${faults[code].title}.`).join("\n"),
            headers: status === 429 ? { "Retry-After": { schema: { type: "integer" }, description: "Seconds to wait." } } : {},
            content: { "application/json": { schema: { $ref: "#/components/schemas/Error" }, example } },
          },
        ];
      }),
  );
}

const printable = { type: "string", pattern: "^[\\x21-\\x7e]{1,128}$" };
const parameters: Json = {
  IdempotencyKey: {
    name: "Idempotency-Key",
    in: "header",
    schema: printable,
    description: "Makes a repetition of this very request answer what the first one did.",
  },
  IfMatch: { name: "If-Match", in: "header", schema: { type: "string" }, description: "Only if the resource still has this ETag." },
  IfNoneMatch: {
    name: "If-None-Match",
    in: "header",
    schema: { type: "string" },
    description: "Answers 304 if the resource still has this ETag.",
  },
  LastEventId: {
    name: "Last-Event-ID",
    in: "header",
    schema: { type: "string", pattern: "^[0-9]{1,18}$" },
    description: "Resumes after this event.",
  },
  Range: {
    name: "Range",
    in: "header",
    schema: { type: "string", pattern: "^bytes=[0-9]{1,18}-([0-9]{1,18})?$" },
    description: "One range of bytes; answered with 206.",
  },
  ReprDigest: {
    name: "Repr-Digest",
    in: "header",
    schema: { type: "string", pattern: "^sha-256=:[A-Za-z0-9+/]{43}=:$" },
    description: "Of the whole file; checked before anything is taken over.",
  },
  Traceparent: { name: "traceparent", in: "header", schema: { type: "string" }, description: "W3C Trace Context; continued." },
  RequestId: {
    name: "X-Request-Id",
    in: "header",
    schema: { type: "string" },
    description: "Echoed, if it is 1 to 128 printable characters.",
  },
};
const headers: Json = {
  ETag: { schema: { type: "string" }, description: "Of this representation." },
  RequestId: { schema: { type: "string" }, description: "As sent, or the trace id." },
  Traceparent: { schema: { type: "string" }, description: "The trace of this request." },
};
