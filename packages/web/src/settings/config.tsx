// The configuration as it is in force, and where each value is from. Read only: it is changed where it is written.
import { useQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import { opsQueries } from "../api/ops.ts";
import { inputLook } from "../ui/fields.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Cell, Row, Table, wideOnly } from "../ui/table.tsx";

export default function ConfigSettings() {
  const { data, error, refetch } = useQuery(opsQueries.config());
  const [text, setText] = useState("");
  const wanted = useDeferredValue(text).trim().toLowerCase();
  const values = (data?.values ?? []).filter(
    ({ key, meaning, source }) => wanted === "" || `${key} ${meaning} ${source}`.toLowerCase().includes(wanted),
  );
  return (
    <>
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      {data !== undefined && (
        <Panel
          title="Configuration in force"
          aside={
            <>
              <span className="text-xs wrap-anywhere">{data.file === "" ? "no file" : data.file}</span>
              <input
                type="search"
                aria-label="Search the configuration"
                placeholder="key or meaning"
                className={`${inputLook} !w-48`}
                value={text}
                onChange={(event) => setText(event.target.value)}
              />
            </>
          }
          isFlush
        >
          <Table label="Configuration" head={["key", "value", "from", "meaning"]} wide={[1, 2, 3]}>
            {values.map(({ key, valueJson, source, meaning, isSecret }) => (
              <Row key={key}>
                <Cell className="font-mono text-xs wrap-anywhere sm:whitespace-nowrap">
                  {key}
                  <span className="block sm:hidden">
                    <Value json={valueJson} isSecret={isSecret} /> <span className="font-sans text-soft">({source})</span>
                  </span>
                  <span className="block font-sans text-soft sm:hidden">{meaning}</span>
                </Cell>
                <Cell className={`max-w-80 min-w-44 font-mono text-xs wrap-anywhere ${wideOnly}`}>
                  <Value json={valueJson} isSecret={isSecret} />
                </Cell>
                <Cell className={`${source === "default" ? "text-soft" : "font-medium"} ${wideOnly}`}>{source}</Cell>
                <Cell className={`min-w-56 text-soft ${wideOnly}`}>{meaning}</Cell>
              </Row>
            ))}
          </Table>
        </Panel>
      )}
    </>
  );
}

function Value({ json, isSecret }: { json: string; isSecret: boolean }) {
  if (isSecret) return <span className="text-soft">a secret</span>;
  return json === "" ? <span className="text-soft">not set</span> : json;
}
