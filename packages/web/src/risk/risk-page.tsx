// How likely an interruption is and why: each subject's reasons as bars that add up to the probability, its survival curve, its price, and what
// the answer was read from.
import type { Assessment, HorizonRisk } from "@aether/contract/gen/aether/v2/risk_pb";
import { useQuery } from "@tanstack/react-query";
import { Link, useSearch } from "@tanstack/react-router";
import { marketQueries } from "../api/market.ts";
import { duration, percent, plural } from "../format/units.ts";
import { Badge, type Tone } from "../ui/badge.tsx";
import { Empty } from "../ui/empty.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { Explained } from "./explained.tsx";
import { Feeds } from "./feeds.tsx";

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
                    <Cell>
                      <Link
                        to="/risk"
                        search={{ subject: each.subject }}
                        className={`wrap-anywhere hover:underline ${each.subject === chosen ? "font-semibold" : "font-medium"}`}
                      >
                        {each.subject.replace(/^(node|pool)\//, "")}
                      </Link>
                      <span className="block text-xs text-soft">{each.subject.startsWith("pool/") ? "pool" : "node"}</span>
                    </Cell>
                    <Cell>
                      <Probability risk={within(each, hourSeconds)} />
                    </Cell>
                    <Cell>
                      <Probability risk={within(each, 24 * hourSeconds)} />
                    </Cell>
                    <Cell className="text-soft">{each.contributions[0]?.words ?? "the starting probability"}</Cell>
                    <Cell className="nums text-soft">{each.missing.length === 0 ? "—" : plural(each.missing.length, "input")}</Cell>
                    <Cell>
                      <Time at={each.at} isAgo />
                    </Cell>
                  </Row>
                ))}
              </Table>
            )}
          </Panel>
          {chosen !== undefined && <Explained subject={chosen} />}
          <Feeds />
        </div>
      )}
    </Page>
  );
}

export const within = (assessment: Assessment, seconds: number): HorizonRisk | undefined =>
  assessment.horizons.find(({ horizonSeconds }) => horizonSeconds === seconds);

export function Probability({ risk }: { risk: HorizonRisk | undefined }) {
  if (risk === undefined) return <span className="text-soft">—</span>;
  const tone: Tone = risk.probability >= 0.5 ? "bad" : risk.probability >= 0.1 ? "warn" : "plain";
  return (
    <span className="inline-flex items-center gap-2 whitespace-nowrap" title={`within ${duration(risk.horizonSeconds * 1000)}`}>
      <Badge tone={tone}>{percent(risk.probability)}</Badge>
      <span className="nums text-xs text-soft">
        {percent(risk.low)} to {percent(risk.high)}
      </span>
    </span>
  );
}
