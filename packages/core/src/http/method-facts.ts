// What the contract itself says of a method, beyond its role.
import { http as httpOption } from "@aether/contract/gen/google/api/annotations_pb";
import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";

/** Reads and changes nothing: its REST route is a GET, or the contract says `idempotency_level = NO_SIDE_EFFECTS`. */
export function isRead(method: DescMethod): boolean {
  if (method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS) return true;
  return hasOption(method, httpOption) && getOption(method, httpOption).pattern.case === "get";
}
