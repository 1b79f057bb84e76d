// jsonb columns.
import type { JsonValue } from "@bufbuild/protobuf";
import type { ColumnType } from "kysely";

/** Read as parsed JSON; written as a JSON text or a value that JSON.stringify takes. Lists must be written as JSON text. */
export type Json = ColumnType<JsonValue, JsonValue | string, JsonValue | string>;
export type JsonOrNull = ColumnType<JsonValue | null, JsonValue | string | null | undefined, JsonValue | string | null>;
export type JsonWithDefault = ColumnType<JsonValue, JsonValue | string | undefined, JsonValue | string>;
