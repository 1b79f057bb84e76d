// Messages without their secrets: fields that the contract marks `debug_redact` are left out of whatever is kept or logged.
import { clone, type DescField, type DescMessage, type Message, type MessageShape } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";

export const isSecret = (field: DescField): boolean => field.proto.options?.debugRedact === true;

/** A copy without secrets, at any depth. */
export function withoutSecrets<Desc extends DescMessage>(type: Desc, message: MessageShape<Desc>): MessageShape<Desc> {
  const copy = clone(type, message);
  clear(type, copy);
  return copy;
}

function clear(type: DescMessage, message: Message): void {
  const fields = reflect(type, message);
  for (const field of type.fields) {
    if (!fields.isSet(field)) continue;
    if (isSecret(field)) fields.clear(field);
    else if (field.fieldKind === "message") clear(field.message, fields.get(field).message);
    else if (field.fieldKind === "list" && field.listKind === "message") {
      for (const item of fields.get(field)) clear(field.message, (item as { message: Message }).message);
    } else if (field.fieldKind === "map" && field.mapKind === "message") {
      for (const item of fields.get(field).values()) clear(field.message, (item as { message: Message }).message);
    }
  }
}

/** Does a message of this type carry a secret, at any depth? */
export function carriesSecret(type: DescMessage, seen = new Set<DescMessage>()): boolean {
  if (seen.has(type)) return false;
  seen.add(type);
  return type.fields.some((field) => isSecret(field) || (field.message !== undefined && carriesSecret(field.message, seen)));
}
