import { Link } from "@tanstack/react-router";
import type { VersionedPage } from "./versioned.ts";

interface Props {
  /** "policy" */
  readonly what: string;
  readonly name: string;
  readonly page: VersionedPage;
  readonly shown: number;
  /** Undefined: it was deleted. */
  readonly inForce: number | undefined;
}

/** Above a version that binds nobody. */
export function NotInForce({ what, name, page, shown, inForce }: Props) {
  return (
    <div role="status" className="mb-4 rounded-lg border border-warn/40 bg-warn-ground px-4 py-3 text-warn">
      This is version {shown}, which is not in force
      {inForce === undefined ? (
        `: the ${what} was deleted.`
      ) : (
        <>
          .{" "}
          <Link to={page} params={{ name }} search={{}} className="underline">
            Look at version {inForce}
          </Link>
        </>
      )}
    </div>
  );
}
