// What is fetched from outside: prices and status feeds, each with how it is; and the incidents that feeds tell of, as evidence that fades.
import { useQuery } from "@tanstack/react-query";
import { marketQueries } from "../api/market.ts";
import { percent } from "../format/units.ts";
import { Badge, type Tone } from "../ui/badge.tsx";
import { Panel } from "../ui/panel.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";

const tones: Readonly<Record<string, Tone>> = { ok: "good", failing: "bad", never: "warn", off: "plain" };

export function Feeds() {
  const { data: pools } = useQuery(marketQueries.pools());
  const { data: feeds = [] } = useQuery(marketQueries.feeds());
  const { data: incidents = [] } = useQuery(marketQueries.incidents());
  const sources = [
    ...(pools?.fetches ?? []).map((fetch) => ({ ...fetch, where: fetch.origin })),
    ...feeds.map((feed) => ({ ...feed, where: feed.url, rows: feed.itemsKept })),
  ];
  return (
    <>
      {sources.length > 0 && (
        <Panel title="Where it hears from" isFlush>
          <Table label="Feeds" head={["source", "state", "last success", "next try", "kept", "what is wrong"]}>
            {sources.map((source) => (
              <Row key={source.name + source.where}>
                <Cell>
                  <span className="font-medium">{source.name}</span>{" "}
                  <span className="block max-w-80 text-xs wrap-anywhere text-soft">{source.where}</span>
                </Cell>
                <Cell>
                  <Badge tone={tones[source.state] ?? "plain"}>{source.state}</Badge>
                </Cell>
                <Cell>
                  <Time at={source.lastSuccessAt} isAgo />
                </Cell>
                <Cell>
                  <Time at={source.nextTryAt} isAgo />
                </Cell>
                <Cell className="nums">{source.rows}</Cell>
                <Cell className="max-w-96 wrap-anywhere text-soft">{source.error || "—"}</Cell>
              </Row>
            ))}
          </Table>
        </Panel>
      )}
      {incidents.length > 0 && (
        <Panel title="Incidents that the feeds tell of" isFlush>
          <Table label="Incidents" head={["last word", "region", "title", "", "weight left"]}>
            {incidents.map((incident) => (
              <Row key={incident.id}>
                <Cell>
                  <Time at={incident.lastWordAt} isAgo />
                </Cell>
                <Cell>{incident.region}</Cell>
                <Cell className="wrap-anywhere">{incident.title}</Cell>
                <Cell>{incident.isResolved ? <Badge tone="good">resolved</Badge> : <Badge tone="warn">open</Badge>}</Cell>
                <Cell className="nums">{percent(incident.weight)}</Cell>
              </Row>
            ))}
          </Table>
        </Panel>
      )}
    </>
  );
}
