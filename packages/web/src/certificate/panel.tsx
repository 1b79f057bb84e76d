// Would this workload survive a reclaim now? The verdict, what stands in the way, what it was computed from, and how earlier ones fared.
import type { Certificate, CertificateFinding, Prediction } from "@aether/contract/gen/aether/v2/certificate_pb";
import { useQuery } from "@tanstack/react-query";
import { queries } from "../api/queries.ts";
import { duration, plural } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Facts } from "../ui/facts.tsx";
import { MigrationLink, NodeLink } from "../ui/links.tsx";
import { Panel } from "../ui/panel.tsx";
import { modeWord } from "../ui/states.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { VerdictBadge } from "./verdict.tsx";

export function CertificatePanel({ workload }: { workload: string }) {
  const { data: certificate } = useQuery(queries.certificate(workload));
  if (certificate === undefined) return null;
  return (
    <Panel title="Evacuation certificate" aside={<VerdictBadge verdict={certificate.verdict} />} isFlush>
      <div className="grid gap-4 px-4 py-3">
        <p className="text-base">{certificate.summary}</p>
        <Budget certificate={certificate} />
        <Facts
          facts={[
            [
              "target now",
              certificate.targetNodeId === "" ? (
                "none can take it"
              ) : (
                <>
                  <NodeLink id={certificate.targetNodeId} /> <span className="text-soft">{certificate.targetReason}</span>
                </>
              ),
            ],
            ["mode", modeWord(certificate.mode)],
            ["freeze", <Range prediction={certificate.freezeMs} objective={certificate.objectiveFreezeMs} />],
            ["notice to safe", <Range prediction={certificate.timeToSafeMs} objective={certificate.objectiveTimeToSafeMs} />],
            ["so since", <Time at={certificate.since} />],
          ]}
        />
        <Findings title="In the way" findings={certificate.blockers} tone="bad" />
        <Findings title="To be careful of" findings={certificate.warnings} tone="warn" />
      </div>
      <details className="border-t border-line">
        <summary className="min-h-9 px-4 py-2 text-soft">What it was computed from ({plural(certificate.inputs.length, "input")})</summary>
        <Table label="Inputs" head={["input", "value", "", "from"]}>
          {certificate.inputs.map((input) => (
            <Row key={input.name}>
              <Cell>{input.name.replaceAll("_", " ")}</Cell>
              <Cell className="nums">{input.value}</Cell>
              <Cell>
                <Badge tone={input.basis === "measured" ? "good" : input.basis === "assumed" ? "warn" : "bad"}>{input.basis}</Badge>
              </Cell>
              <Cell className="text-soft">{input.detail}</Cell>
            </Row>
          ))}
        </Table>
      </details>
      {certificate.calibration !== undefined && certificate.calibration.points.length > 0 && <Calibration certificate={certificate} />}
    </Panel>
  );
}

/** The window that a notice leaves, and how much of it the move would take. */
function Budget({ certificate: { timeToSafeMs, windowMs } }: { certificate: Certificate }) {
  if (timeToSafeMs === undefined || windowMs <= 0) return null;
  const part = (ms: number) => `${Math.min(100, (100 * ms) / windowMs)}%`;
  return (
    <div>
      <div
        className="relative h-3 overflow-hidden rounded bg-raised"
        role="img"
        aria-label={`${duration(timeToSafeMs.expected)} of ${duration(windowMs)} expected`}
      >
        <div className="absolute inset-y-0 left-0 bg-accent/25" style={{ width: part(timeToSafeMs.high) }} />
        <div className="absolute inset-y-0 left-0 bg-accent" style={{ width: part(timeToSafeMs.expected) }} />
      </div>
      <p className="nums mt-1 text-xs text-soft">
        {duration(timeToSafeMs.expected)} of the {duration(windowMs)} that a notice leaves; nine of ten moves within{" "}
        {duration(timeToSafeMs.high)}
      </p>
    </div>
  );
}

function Range({ prediction, objective }: { prediction: Prediction | undefined; objective: number }) {
  if (prediction === undefined) return <span className="text-soft">not known</span>;
  return (
    <span>
      {duration(prediction.expected)}{" "}
      <span className="text-soft">
        ({duration(prediction.low)} to {duration(prediction.high)}
        {objective > 0 && `; objective ${duration(objective)}`})
      </span>
    </span>
  );
}

function Findings({ title, findings, tone }: { title: string; findings: readonly CertificateFinding[]; tone: "bad" | "warn" }) {
  if (findings.length === 0) return null;
  return (
    <div>
      <h3 className={`mb-1 font-medium ${tone === "bad" ? "text-bad" : "text-warn"}`}>{title}</h3>
      <ul className="grid gap-2">
        {findings.map((finding) => (
          <li key={finding.code + finding.subject} className="rounded-md bg-raised px-3 py-2">
            <p className="break-words">
              <code className="mr-2 font-mono text-xs text-soft">{finding.code}</code>
              {finding.message}
            </p>
            {finding.mend !== "" && (
              <p className="break-words">
                <span className="text-soft">To mend: </span>
                {finding.mend}
              </p>
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Calibration({ certificate: { calibration } }: { certificate: Certificate }) {
  if (calibration === undefined) return null;
  return (
    <details className="border-t border-line">
      <summary className="min-h-9 px-4 py-2 text-soft">
        Foretold and measured in {plural(calibration.moveCount, "move")}: freezes took {calibration.freezeRatioMedian.toFixed(2)} × what was
        foretold (median)
      </summary>
      <Table label="Calibration" head={["move", "freeze foretold", "measured", "to safe foretold", "measured"]}>
        {calibration.points.map((point) => (
          <Row key={point.migrationId}>
            <Cell>
              <MigrationLink id={point.migrationId}>
                <Time at={point.at} />
              </MigrationLink>
            </Cell>
            <Cell className="nums">{duration(point.predictedFreezeMs)}</Cell>
            <Cell className="nums">{duration(point.measuredFreezeMs)}</Cell>
            <Cell className="nums">{duration(point.predictedTimeToSafeMs)}</Cell>
            <Cell className="nums">{duration(point.measuredTimeToSafeMs)}</Cell>
          </Row>
        ))}
      </Table>
    </details>
  );
}
