// If-Match over every protocol: a header of the request (metadata in gRPC), with the ETag that the reading of the resource answered in its own headers. Compared
// twice: before the act, and in the act's own transaction under a lock that every act on this resource takes, so that of two who read the same only one
// gets through.
import { fault, Role } from "@aether/contract";
import type { Interceptor } from "@connectrpc/connect";
import { roleOf } from "../access/roles.ts";
import { isRead } from "./method-facts.ts";
import { isUnchanged, resourceTag } from "./rest/entity-tag.ts";
import type { Resource, ResourceState, Resources } from "./rest/resources.ts";

/** Tags readings, and refuses an If-Match where there is nothing to compare it with. */
export function entityTagInterceptor(resources: Resources): Interceptor {
  return (next) => async (request) => {
    const { method } = request;
    if (request.header.has("if-match") && !isRead(method)) {
      const role = roleOf(method);
      // Only acts are compared; what people change of their own account has one writer.
      if (request.stream || !resources.isAboutOne(method) || (role !== Role.OPERATOR && role !== Role.ADMIN))
        throw fault("INVALID_ARGUMENT", "If-Match needs a change of one resource that can be read", { field: "If-Match" });
    }
    const response = await next(request);
    if (!response.stream && resources.isReading(method)) response.header.set("etag", resourceTag(response.method.output, response.message));
    return response;
  };
}

/** What must hold of the resource, now and in the act's transaction; undefined: nothing. Throws PRECONDITION_FAILED with the tag that it has. */
export function preconditionOf(
  header: Headers,
  resource: Pick<Resource, "isMadeByChange"> | undefined,
  subject: string,
): ((now: ResourceState | undefined) => void) | undefined {
  const wanted = header.get("if-match");
  if (wanted === null || resource === undefined) return undefined;
  return (now) => {
    if (now === undefined) {
      // The handler says itself that it is not there, unless it would make it anew.
      if (resource.isMadeByChange) throw fault("PRECONDITION_FAILED", `${subject} does not exist any more`, { field: "If-Match" });
    } else if (!isUnchanged(wanted, now.tag)) {
      const details = { etag: now.tag };
      throw fault("PRECONDITION_FAILED", `${subject} is not what it was: its ETag is ${now.tag}`, { field: "If-Match", details });
    }
  };
}
