// How likely an interruption is and why: each subject's reasons as bars that add up to the probability, its survival curve, its price, and what
// the answer was read from.
import { useQuery } from "@tanstack/react-query";
import { Link, useSearch } from "@tanstack/react-router";
import { marketQueries } from "../api/market.ts";
import { poolName } from "../format/pool.ts";
import { plural } from "../format/units.ts";
import { Empty } from "../ui/empty.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { Explained } from "./explained.tsx";
import { Feeds } from "./feeds.tsx";
import { Probability, within } from "./probability.tsx";

/** "node/n1" is n1. */
const nameOf = (subject: string): string =>
  subject.startsWith("pool/") ? poolName(subject.slice("pool/".length)) : subject.replace(/^node\//, "");

const hourSeconds = 3_600;

export function RiskPage() {
  const { subject } = useSearch({ from: "/risk" });
  const { data: assessments, error, refetch } = useQuery(marketQueries.assessments());
  const chosen = subject ?? assessments?.[0]?.subject;
  return (
    <Page
      title="Risk"
      about="The probability that a node, or a node of a pool, is interrupted within a time, with the range that holds the truth in 8 of 10 cases. A price alone proves nothing."
    >
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      {assessments !== undefined && (
        <div className="grid gap-4">
          <Panel
            title={plural(assessments.length, "assessment")}
            aside={<span className="text-xs">the most endangered first</span>}
            isFlush
          >
            {assessments.length === 0 ? (
              <Empty command="aether risk">Nothing is assessed yet: that needs a node whose cloud is known, and a minute.</Empty>
            ) : (
              <Table label="Assessments" head={["subject", "within an hour", "within a day", "main reason", "not known", "assessed"]}>
                {assessments.slice(0, 100).map((each) => (
                  <Row key={each.subject}>
                    <Cell className="min-w-44">
                      <Link
                        to="/risk"
                        search={{ subject: each.subject }}
                        className={`wrap-anywhere hover:underline ${each.subject === chosen ? "font-semibold" : "font-medium"}`}
                      >
                        {nameOf(each.subject)}
                      </Link>
                      <span className="block text-xs text-soft">{each.subject.startsWith("pool/") ? "pool" : "node"}</span>
                    </Cell>
                    <Cell>
                      <Probability risk={within(each, hourSeconds)} />
                    </Cell>
                    <Cell>
                      <Probability risk={within(each, 24 * hourSeconds)} />
                    </Cell>
                    <Cell className="min-w-48 text-soft">{each.contributions[0]?.words ?? "the starting probability"}</Cell>
                    <Cell className="nums whitespace-nowrap text-soft">
                      {each.missing.length === 0 ? "—" : plural(each.missing.length, "input")}
                    </Cell>
                    <Cell>
                      <Time at={each.at} isAgo />
                    </Cell>
                  </Row>
                ))}
              </Table>
            )}
          </Panel>
          {chosen !== undefined && <Explained subject={chosen} name={nameOf(chosen)} />}
          <Feeds />
        </div>
      )}
    </Page>
  );
}
