// What was spent and what on-demand would have cost, with where the prices came from. What is not known is said, never guessed.
import type { Blackout } from "@aether/contract/gen/aether/v2/blackout_pb";
import type { Saving } from "@aether/contract/gen/aether/v2/price_pb";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { marketQueries } from "../api/market.ts";
import { dollars } from "../format/money.ts";
import { poolName } from "../format/pool.ts";
import { count, duration, hours, plural } from "../format/units.ts";
import { Empty } from "../ui/empty.tsx";
import { Stat } from "../ui/facts.tsx";
import { inputLook } from "../ui/fields.tsx";
import { SubjectLink } from "../ui/links.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";

const known = (value: number | undefined): string => (value === undefined ? "unknown" : dollars(value));

export function SavingsPage() {
  const { days = "30" } = useSearch({ from: "/savings" });
  const navigate = useNavigate({ from: "/savings" });
  const { data, error, refetch } = useQuery(marketQueries.savings(Number(days) * 24 || 720));
  return (
    <Page
      title="Savings"
      about="Spot against on-demand, for the hours that really ran and whose prices are known."
      aside={
        <select
          aria-label="How far back"
          className={`${inputLook} !w-auto`}
          value={days}
          onChange={(event) => void navigate({ search: { days: event.target.value }, replace: true })}
        >
          <option value="1">the last day</option>
          <option value="7">the last 7 days</option>
          <option value="30">the last 30 days</option>
          <option value="90">the last 90 days</option>
        </select>
      }
    >
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      {data?.fleet !== undefined && (
        <div className="grid gap-4">
          <div className="grid grid-cols-2 gap-3 lg:grid-cols-4">
            <Stat name="Spent on spot" value={known(data.fleet.spentUsd)} note={`${hours(data.fleet.runningHours)} of nodes`} />
            <Stat
              name="On-demand would have been"
              value={known(data.fleet.onDemandUsd)}
              note={`${hours(data.fleet.pricedHours)} with both prices known`}
            />
            <Stat
              name="Saved"
              value={known(data.fleet.savedUsd)}
              note={data.fleet.unknown.length === 0 ? "every price is known" : "not every price is known"}
            />
            <Stat name="Workloads stood still" value={duration(data.blackout?.frozenMs ?? 0)} note={movesNote(data.blackout)} />
          </div>
          {data.blackout !== undefined && <Outlived blackout={data.blackout} />}
          <Savings title="By workload" savings={data.workloads} />
          <Savings title="By pool" savings={data.pools} />
          <Savings title="By node" savings={data.nodes.slice(0, shownNodes)} />
          <Panel title="Where the prices came from">
            {data.sources.length === 0 ? (
              <Empty command={"prices: { ec2: { regions: [us-east-1] }, onDemandUsdPerHour: { us-east-1: { m6i.large: 0.096 } } }"}>
                No price is known. The control plane reads spot prices with AWS credentials; in its configuration:
              </Empty>
            ) : (
              <ul className="grid gap-1">
                {data.sources.map((source) => (
                  <li key={source.name + source.origin} className="wrap-anywhere">
                    {source.name} <span className="text-soft">{source.origin}, read</span> <Time at={source.fetchedAt} />
                  </li>
                ))}
              </ul>
            )}
          </Panel>
        </div>
      )}
    </Page>
  );
}

function Savings({ title, savings }: { title: string; savings: readonly Saving[] }) {
  if (savings.length === 0) return null;
  return (
    <Panel title={title} isFlush>
      <Table label={title} head={["", "ran", "spent", "on-demand", "saved", "moves", "stood still", "not known"]}>
        {savings.map((saving) => (
          <Row key={saving.subject}>
            <Cell>
              <SubjectLink subject={saving.subject} />
            </Cell>
            <Cell className="nums whitespace-nowrap">{hours(saving.runningHours)}</Cell>
            <Cell className="nums">{known(saving.spentUsd)}</Cell>
            <Cell className="nums">{known(saving.onDemandUsd)}</Cell>
            <Cell className="nums">{known(saving.savedUsd)}</Cell>
            <Cell className="nums">{saving.migrations}</Cell>
            <Cell className="nums whitespace-nowrap">{saving.migrations === 0 ? "—" : duration(saving.frozenMs)}</Cell>
            <Cell className="min-w-72 wrap-anywhere text-soft">{saving.unknown.map(withPoolName).join("; ") || "—"}</Cell>
          </Row>
        ))}
      </Table>
    </Panel>
  );
}

/** "no spot price of pool/us-east-1/us-east-1a/m6i.large": by the name that it has elsewhere on the page. */
const withPoolName = (text: string): string => text.replace(/pool\/(\S+)/, (_whole, pool: string) => poolName(pool));

/** More are in the API's answer. */
const shownNodes = 100;

function movesNote(blackout: Blackout | undefined): string {
  if (blackout === undefined || blackout.moves === 0n) return "nothing has moved";
  const unmeasured = blackout.unmeasured === 0n ? "" : `; ${count(blackout.unmeasured)} not measured`;
  return `in ${plural(Number(blackout.moves), "move")}, the longest ${duration(blackout.longestFreezeMs)}${unmeasured}`;
}

/** What it was for: nodes that went, and what ran on them. */
function Outlived({ blackout }: { blackout: Blackout }) {
  const { interruptions, survived, rehearsed, rehearsalsSurvived, rolledBack } = blackout;
  const of = (lived: bigint, all: bigint) => (all === 0n ? "none" : `${count(lived)} of ${count(all)}`);
  const note = (all: bigint, lived: bigint) =>
    all === 0n ? "none was announced" : lived === all ? "every workload left its node in time" : "not every workload left its node";
  return (
    <div className="grid grid-cols-2 gap-3 lg:grid-cols-3">
      <Stat name="Interruptions survived" value={of(survived, interruptions)} note={note(interruptions, survived)} />
      <Stat name="Drills survived" value={of(rehearsalsSurvived, rehearsed)} note={note(rehearsed, rehearsalsSurvived)} />
      <Stat
        name="Moves that went back"
        value={count(rolledBack)}
        note={rolledBack === 0n ? "none" : "the workload stayed where it was, and ran on"}
      />
    </div>
  );
}
