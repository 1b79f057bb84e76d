// A server stream's refusal has a status of its own only if nothing was sent before it. A handler that may be silent for long says here that it will not
// refuse any more; REST then sends the status.
import { createContextKey, type HandlerContext } from "@connectrpc/connect";

export const begunKey = createContextKey<(() => void) | undefined>(undefined, { description: "begun" });

/** The stream stands: what comes from now on are its messages. */
export function begun(context: Pick<HandlerContext, "values">): void {
  context.values.get(begunKey)?.();
}
