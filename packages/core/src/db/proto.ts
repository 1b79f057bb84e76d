// Between the contract's messages and jsonb columns: ProtoJSON, read leniently so that a row of an older version still loads.
import { fault } from "@aether/contract";
import { type DescMessage, fromJson, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";

/** JSON text for a jsonb column. */
export function toColumn<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): string {
  return JSON.stringify(toJson(schema, message));
}

export function fromColumn<Desc extends DescMessage>(schema: Desc, column: JsonValue): MessageShape<Desc> {
  return fromJson(schema, column, { ignoreUnknownFields: true });
}

export function fromColumnOrNone<Desc extends DescMessage>(schema: Desc, column: JsonValue | null): MessageShape<Desc> | undefined {
  return column === null ? undefined : fromColumn(schema, column);
}

/** Sets a timestamp field only where there is a date. */
export function stamp<Name extends string>(name: Name, date: Date | null): { [key in Name]?: Timestamp } {
  return (date === null ? {} : { [name]: timestampFromDate(date) }) as { [key in Name]?: Timestamp };
}

/** Throws INVALID_ARGUMENT for one beyond what a date can hold, which only a message in binary can say. */
export function dateOf(timestamp: Timestamp | undefined): Date | undefined {
  if (timestamp === undefined) return undefined;
  const date = timestampDate(timestamp);
  if (Number.isNaN(date.getTime())) throw fault("INVALID_ARGUMENT", "a timestamp is beyond the year 9999");
  return date;
}
