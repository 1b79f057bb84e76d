// No text of a request holds U+0000: PostgreSQL stores none, and no name, path or argument has one. Refused here once, for every field of every RPC.
import { fault, Role } from "@aether/contract";
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { Interceptor } from "@connectrpc/connect";
import { roleOf } from "../access/roles.ts";

export const plainTextInterceptor: Interceptor = (next) => (request) => {
  if (!request.stream) {
    refuse(request.method.input, request.message as Message);
    return next(request);
  }
  // What a node streams up is its own, and checked where it is taken.
  if (roleOf(request.method) === Role.AGENT) return next(request);
  return next({ ...request, message: checked(request.method.input, request.message as AsyncIterable<Message>) } as typeof request);
};

async function* checked(type: DescMessage, messages: AsyncIterable<Message>): AsyncGenerator<Message> {
  for await (const message of messages) {
    refuse(type, message);
    yield message;
  }
}

function refuse(type: DescMessage, message: Message): void {
  const field = fieldWithNul(type, message);
  if (field !== undefined) throw fault("INVALID_ARGUMENT", `${field} holds the character U+0000`, { field });
}

/** The path of the first one, as in the .proto file. */
function fieldWithNul(type: DescMessage, message: Message): string | undefined {
  const fields = reflect(type, message);
  for (const field of type.fields) {
    if (!fields.isSet(field)) continue;
    const inside = (value: unknown): string | undefined => {
      if (typeof value === "string") return value.includes("\u0000") ? field.name : undefined;
      if (field.message === undefined) return undefined;
      const found = fieldWithNul(field.message, (value as { message: Message }).message);
      return found === undefined ? undefined : `${field.name}.${found}`;
    };
    const values =
      field.fieldKind === "list" ? [...fields.get(field)] : field.fieldKind === "map" ? [...fields.get(field)].flat() : [fields.get(field)];
    for (const value of values) {
      const found = inside(value);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}
