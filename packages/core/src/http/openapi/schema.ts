// JSON Schema (2020-12, as OpenAPI 3.1 uses it) of the contract's messages in their ProtoJSON form
// (https://protobuf.dev/programming-guides/json/): what REST takes and answers.
import { comments } from "@aether/contract/gen/comments";
import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { isSecret } from "../redact.ts";

export type Schema = { readonly [key: string]: unknown };

/** Collects the messages and enumerations that are referred to. */
export interface Schemas {
  of(message: DescMessage): Schema;
  field(field: DescField): Schema;
  /** As `of`, written out, without these fields (they come by the path). */
  without(message: DescMessage, names: ReadonlySet<string>): Schema;
  components(): Readonly<Record<string, Schema>>;
}

const commented = (name: string, schema: Schema): Schema => {
  const description = comments[name];
  return description === undefined ? schema : { ...schema, description };
};

const integer = (minimum: number, maximum: number): Schema => ({ type: "integer", minimum, maximum });
/** 64-bit integers are text in JSON, which has no numbers that large. */
const int64: Schema = { type: "string", format: "int64", pattern: "^-?[0-9]{1,19}$" };
const uint64: Schema = { type: "string", format: "uint64", pattern: "^[0-9]{1,20}$" };
const number: Schema = { type: "number" };

const scalars: Readonly<Record<ScalarType, Schema>> = {
  [ScalarType.DOUBLE]: number,
  [ScalarType.FLOAT]: number,
  [ScalarType.INT32]: integer(-(2 ** 31), 2 ** 31 - 1),
  [ScalarType.SINT32]: integer(-(2 ** 31), 2 ** 31 - 1),
  [ScalarType.SFIXED32]: integer(-(2 ** 31), 2 ** 31 - 1),
  [ScalarType.UINT32]: integer(0, 2 ** 32 - 1),
  [ScalarType.FIXED32]: integer(0, 2 ** 32 - 1),
  [ScalarType.INT64]: int64,
  [ScalarType.SINT64]: int64,
  [ScalarType.SFIXED64]: int64,
  [ScalarType.UINT64]: uint64,
  [ScalarType.FIXED64]: uint64,
  [ScalarType.BOOL]: { type: "boolean" },
  [ScalarType.STRING]: { type: "string" },
  [ScalarType.BYTES]: { type: "string", contentEncoding: "base64" },
};

/** Messages that have a form of their own in ProtoJSON. */
const wellKnown: Readonly<Record<string, Schema>> = {
  "google.protobuf.Timestamp": { type: "string", format: "date-time" },
  "google.protobuf.Duration": { type: "string", pattern: "^-?[0-9]+(\\.[0-9]{1,9})?s$" },
  "google.protobuf.FieldMask": { type: "string" },
  "google.protobuf.Struct": { type: "object" },
  "google.protobuf.Value": {},
  "google.protobuf.Empty": { type: "object" },
};

/** What http/page-request.ts demands of every list. */
const bounds: Readonly<Record<string, Schema>> = {
  "aether.v2.PageRequest.page_size": { minimum: 0, maximum: 1000 },
  "aether.v2.PageRequest.page_token": { pattern: "^[A-Za-z0-9_-]{0,400}$" },
};

export function createSchemas(): Schemas {
  const found = new Map<string, Schema | undefined>();
  const refer = (type: DescMessage | DescEnum, make: () => Schema): Schema => {
    const name = type.typeName.replace(/^aether\.v2\./, "");
    if (!found.has(name)) {
      found.set(name, undefined); // it may refer to itself
      found.set(name, commented(type.typeName, make()));
    }
    return { $ref: `#/components/schemas/${name}` };
  };

  const of = (message: DescMessage): Schema => wellKnown[message.typeName] ?? refer(message, () => object(message, new Set()));
  const enumeration = (type: DescEnum): Schema =>
    refer(type, () => ({
      type: "string",
      enum: type.values.map(({ name }) => name),
      ...(type.values.some(({ name }) => comments[`${type.typeName}.${name}`] !== undefined)
        ? { "x-enum-descriptions": Object.fromEntries(type.values.map(({ name }) => [name, comments[`${type.typeName}.${name}`] ?? ""])) }
        : {}),
    }));
  const single = (field: {
    readonly scalar?: ScalarType | undefined;
    readonly message?: DescMessage | undefined;
    readonly enum?: DescEnum | undefined;
  }): Schema => {
    if (field.message !== undefined) return of(field.message);
    if (field.enum !== undefined) return enumeration(field.enum);
    return scalars[field.scalar ?? ScalarType.STRING];
  };
  const shapeOf = (field: DescField): Schema => {
    if (field.fieldKind === "list") return { type: "array", items: single(field) };
    if (field.fieldKind === "map") return { type: "object", additionalProperties: single(field) };
    return single(field);
  };
  const field = (each: DescField): Schema => {
    const schema = { ...shapeOf(each), ...bounds[`${each.parent.typeName}.${each.name}`] };
    const oneof = each.oneof === undefined ? "" : ` At most one of ${each.oneof.fields.map(({ jsonName }) => jsonName).join(", ")}.`;
    const description = `${comments[`${each.parent.typeName}.${each.name}`] ?? ""}${oneof}`.trim();
    return { ...schema, ...(description === "" ? {} : { description }), ...(isSecret(each) ? { format: "password" } : {}) };
  };
  /** Unknown fields are refused, so there are none. */
  const object = (message: DescMessage, without: ReadonlySet<string>): Schema => ({
    type: "object",
    additionalProperties: false,
    properties: Object.fromEntries(message.fields.filter(({ name }) => !without.has(name)).map((each) => [each.jsonName, field(each)])),
  });

  return {
    of,
    field,
    without: object,
    components: () => Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1))) as Record<string, Schema>,
  };
}
