// Messages without some of their fields: what the contract marks `debug_redact` is left out of whatever is kept or logged, what it marks
// `observed` of what a change is compared with.
import { observed } from "@aether/contract/gen/aether/v2/options_pb";
import { clone, type DescField, type DescMessage, getOption, hasOption, type Message, type MessageShape } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";

export const isSecret = (field: DescField): boolean => field.proto.options?.debugRedact === true;

/** Changes by itself: nobody sets it. */
export const isObserved = (field: DescField): boolean => hasOption(field, observed) && getOption(field, observed);

/** A copy without secrets, at any depth. */
export const withoutSecrets = <Desc extends DescMessage>(type: Desc, message: MessageShape<Desc>): MessageShape<Desc> =>
  without(type, message, isSecret);

/** A copy that has only what somebody set or decided. */
export const withoutObserved = <Desc extends DescMessage>(type: Desc, message: MessageShape<Desc>): MessageShape<Desc> =>
  without(type, message, isObserved);

type IsLeftOut = (field: DescField) => boolean;

function without<Desc extends DescMessage>(type: Desc, message: MessageShape<Desc>, isLeftOut: IsLeftOut): MessageShape<Desc> {
  const copy = clone(type, message);
  clear(type, copy, isLeftOut);
  return copy;
}

function clear(type: DescMessage, message: Message, isLeftOut: IsLeftOut): void {
  const fields = reflect(type, message);
  for (const field of type.fields) {
    if (!fields.isSet(field)) continue;
    if (isLeftOut(field)) fields.clear(field);
    else if (field.fieldKind === "message") clear(field.message, fields.get(field).message, isLeftOut);
    else if (field.fieldKind === "list" && field.listKind === "message") {
      for (const item of fields.get(field)) clear(field.message, (item as { message: Message }).message, isLeftOut);
    } else if (field.fieldKind === "map" && field.mapKind === "message") {
      for (const item of fields.get(field).values()) clear(field.message, (item as { message: Message }).message, isLeftOut);
    }
  }
}

/** Does a message of this type carry a secret, at any depth? */
export function carriesSecret(type: DescMessage, seen = new Set<DescMessage>()): boolean {
  if (seen.has(type)) return false;
  seen.add(type);
  return type.fields.some((field) => isSecret(field) || (field.message !== undefined && carriesSecret(field.message, seen)));
}
