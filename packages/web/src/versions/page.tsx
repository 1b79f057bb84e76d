// One thing that is changed by setting a new version of it, at an address of its own: which version is shown, whether it is in force, and what
// is not known yet.
import type { ReactNode } from "react";
import { Badge } from "../ui/badge.tsx";
import { useKnown } from "../ui/known.ts";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { NotInForce } from "./not-in-force.tsx";
import { type Asked, type Shown, shownOf } from "./shown.ts";
import type { Versioned, VersionedPage } from "./versioned.ts";

interface Query<T> extends Asked<T> {
  readonly isPending: boolean;
}

interface Props<T> {
  /** "policy" */
  readonly what: string;
  readonly name: string;
  readonly page: VersionedPage;
  /** The version that the address names. */
  readonly wanted: string | undefined;
  readonly current: Query<T>;
  readonly versions: Query<readonly T[]> & { readonly refetch: () => unknown };
  /** What else must be read before the page is shown. */
  readonly others?: readonly { readonly isPending: boolean }[];
  /** The code of the error that says that none is in force. */
  readonly notFound: string;
  /** Beside the name; default: which version is in force. */
  readonly badge?: (inForce: T) => ReactNode;
  readonly about?: (shown: T) => ReactNode;
  readonly aside: (what: Shown<T>) => ReactNode;
  readonly children: (what: Shown<T> & { readonly shown: T }) => ReactNode;
}

export function VersionedThing<T extends Versioned>(props: Props<T>) {
  const { what, name, page, wanted, current, versions, others = [], notFound, badge, about, aside, children } = props;
  const isKnown = useKnown([current, versions, ...others]);
  const found = shownOf(current, versions, wanted, notFound);
  const { inForce, shown, isOld } = found;
  if (!isKnown || shown === undefined) {
    return (
      <Page title={name}>{versions.error !== null && <ProblemNote error={versions.error} onRetry={() => void versions.refetch()} />}</Page>
    );
  }
  return (
    <Page
      title={name}
      heading={
        <span className="flex flex-wrap items-center gap-2">
          {name}
          {inForce === undefined ? (
            <Badge tone="warn">deleted</Badge>
          ) : (
            (badge?.(inForce) ?? <Badge tone="good">version {inForce.version} in force</Badge>)
          )}
        </span>
      }
      about={about?.(shown)}
      aside={aside(found)}
    >
      {isOld && <NotInForce what={what} name={name} page={page} shown={shown.version} inForce={inForce?.version} />}
      {children({ ...found, shown })}
    </Page>
  );
}
