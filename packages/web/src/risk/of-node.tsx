// How likely it is that a node is interrupted, why, and how that was before: on the node's own page, and on those of the workloads that it carries.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { marketQueries } from "../api/market.ts";
import { problemOf } from "../api/problem.ts";
import { duration } from "../format/units.ts";
import { NodeLink } from "../ui/links.tsx";
import { Panel } from "../ui/panel.tsx";
import { Contributions } from "./contributions.tsx";
import { RiskOverTime } from "./explained.tsx";
import { Probability, within } from "./probability.tsx";

/** @param isNamed the page is not the node's own: the title says which node it is. */
export function RiskOf({ node, isNamed = false }: { node: string; isNamed?: boolean }) {
  const subject = `node/${node}`;
  const { data, error } = useQuery(marketQueries.explainRisk(subject));
  const assessment = data?.assessment;
  if (assessment === undefined) {
    if (error === null || problemOf(error).isAway) return null;
    return (
      <Panel title="Risk of an interruption">
        <p className="text-soft">
          Not assessed yet: that needs a node whose cloud is known (instance type and zone, from its metadata service), and a minute.
        </p>
      </Panel>
    );
  }
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <Panel
        title={
          isNamed ? (
            <>
              Risk of an interruption of <NodeLink id={node} />
            </>
          ) : (
            "Risk of an interruption"
          )
        }
        aside={
          <Link to="/risk" search={{ subject }} className="text-xs hover:underline">
            survival, price, inputs
          </Link>
        }
      >
        <div className="mb-3 flex flex-wrap gap-x-6 gap-y-1">
          {[3_600, 86_400].map((seconds) => (
            <span key={seconds} className="inline-flex items-center gap-2">
              <span className="text-soft">within {duration(seconds * 1000)}</span>
              <Probability risk={within(assessment, seconds)} />
            </span>
          ))}
        </div>
        <h3 className="mb-2 text-xs text-soft">What makes it so, within {duration(assessment.explainedHorizonSeconds * 1000)}</h3>
        <Contributions assessment={assessment} />
      </Panel>
      <RiskOverTime subject={subject} />
    </div>
  );
}
