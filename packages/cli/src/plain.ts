// Messages of the contract as the JSON that --json prints: the same that REST answers, with every field there, so that scripts need no defaults.
import { create, type DescMessage, type JsonValue, type MessageInitShape, type MessageShape, toJson } from "@bufbuild/protobuf";

export function toPlain<Desc extends DescMessage>(schema: Desc, message: MessageInitShape<Desc> | MessageShape<Desc>): JsonValue {
  return toJson(schema, create(schema, message as MessageInitShape<Desc>), { alwaysEmitImplicit: true });
}
