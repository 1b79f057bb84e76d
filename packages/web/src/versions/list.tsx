// Each version that there was, newest first: what it says, since when, by whom.
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { plural } from "../format/units.ts";
import { Panel } from "../ui/panel.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import type { Versioned, VersionedPage } from "./versioned.ts";

interface Props<T> {
  readonly name: string;
  readonly page: VersionedPage;
  readonly versions: readonly T[];
  /** The version that the page shows. */
  readonly shown: number | undefined;
  /** Over what each one says. */
  readonly head: string;
  readonly says: (version: T) => ReactNode;
}

export function VersionList<T extends Versioned>({ name, page, versions, shown, head, says }: Props<T>) {
  return (
    <Panel title={plural(versions.length, "version")} isFlush>
      <Table label={`Versions of ${name}`} head={["", head, "set"]}>
        {versions.map((each) => (
          <Row key={each.version}>
            <Cell className="align-top">
              <Link
                to={page}
                params={{ name }}
                search={{ version: String(each.version) }}
                aria-current={each.version === shown ? "true" : undefined}
                className={`nums hover:underline ${each.version === shown ? "font-semibold" : "font-medium"}`}
              >
                {each.version}
              </Link>
            </Cell>
            <Cell className="min-w-40 align-top wrap-anywhere">{says(each)}</Cell>
            <Cell className="align-top text-soft">
              <Time at={each.changedAt} /> <span className="block text-xs wrap-anywhere">by {each.changedBy}</span>
            </Cell>
          </Row>
        ))}
      </Table>
    </Panel>
  );
}
