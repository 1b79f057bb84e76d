// Messages without some of their fields: what the contract marks `debug_redact` is left out of whatever is kept or logged, what it marks
// `observed` of what a change is compared with, and of what it marks `covered` only the names are told to whoever may only look.
import { covered, observed } from "@aether/contract/gen/aether/v2/options_pb";
import { clone, type DescField, type DescMessage, getOption, hasOption, type Message, type MessageShape } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";

export const isSecret = (field: DescField): boolean => field.proto.options?.debugRedact === true;

/** Changes by itself: nobody sets it. */
export const isObserved = (field: DescField): boolean => hasOption(field, observed) && getOption(field, observed);

const isCovered = (field: DescField): boolean => hasOption(field, covered) && getOption(field, covered);

type IsWanted = (field: DescField) => boolean;

/** A copy without secrets, at any depth. */
export const withoutSecrets = <Desc extends DescMessage>(type: Desc, message: MessageShape<Desc>): MessageShape<Desc> =>
  without(type, message, isSecret);

/** A copy that has only what somebody set or decided. */
export const withoutObserved = <Desc extends DescMessage>(type: Desc, message: MessageShape<Desc>): MessageShape<Desc> =>
  without(type, message, isObserved);

/** A copy in which the values of what the contract marks `covered` are not told. */
export function withCovers<Desc extends DescMessage>(type: Desc, message: MessageShape<Desc>): MessageShape<Desc> {
  const copy = clone(type, message);
  walk(type, copy, (fields, field) => {
    if (!isCovered(field) || field.fieldKind !== "map") return false;
    const map = fields.get(field);
    for (const name of [...map.keys()]) map.set(name, "***");
    return true;
  });
  return copy;
}

function without<Desc extends DescMessage>(type: Desc, message: MessageShape<Desc>, isLeftOut: IsWanted): MessageShape<Desc> {
  const copy = clone(type, message);
  walk(type, copy, (fields, field) => {
    if (isLeftOut(field)) fields.clear(field);
    return isLeftOut(field);
  });
  return copy;
}

/** Every field that is set, at any depth; what `isDone` answers true to is not looked into. */
function walk(type: DescMessage, message: Message, isDone: (fields: ReflectMessage, field: DescField) => boolean): void {
  const fields = reflect(type, message);
  for (const field of type.fields) {
    if (!fields.isSet(field) || isDone(fields, field)) continue;
    if (field.fieldKind === "message") walk(field.message, fields.get(field).message, isDone);
    else if (field.fieldKind === "list" && field.listKind === "message") {
      for (const item of fields.get(field)) walk(field.message, (item as { message: Message }).message, isDone);
    } else if (field.fieldKind === "map" && field.mapKind === "message") {
      for (const item of fields.get(field).values()) walk(field.message, (item as { message: Message }).message, isDone);
    }
  }
}

/** Does a message of this type carry a secret, at any depth? */
export const carriesSecret = (type: DescMessage): boolean => carries(type, isSecret);
export const carriesCovered = (type: DescMessage): boolean => carries(type, isCovered);

function carries(type: DescMessage, isWanted: IsWanted, seen = new Set<DescMessage>()): boolean {
  if (seen.has(type)) return false;
  seen.add(type);
  return type.fields.some((field) => isWanted(field) || (field.message !== undefined && carries(field.message, isWanted, seen)));
}
