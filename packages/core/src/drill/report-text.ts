// A drill's report for people, as Markdown and as one page of HTML to print: no scripts, nothing from elsewhere. Pure.
import { DrillKind, type DrillPrediction, type DrillReport, DrillState } from "@aether/contract/gen/aether/v2/drill_pb";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

interface Section {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly none: string;
}

const instant = (at: Timestamp | undefined): string => (at === undefined ? "-" : timestampDate(at).toISOString());
const ms = (value: number): string =>
  value <= 0 ? "-" : value < 10_000 ? `${value.toFixed(value < 100 ? 1 : 0)} ms` : `${(value / 1000).toFixed(1)} s`;

/** Measured over foretold; "-" where one of the two is missing. */
function ratio(predicted: number, measured: number): string {
  return predicted > 0 && measured > 0 ? `${(measured / predicted).toFixed(2)} ×` : "-";
}

function contentOf({ drill, receipts, trustDomain, coreVersion }: DrillReport) {
  const facts: [string, string][] = [
    ["Verdict", DrillState[drill?.state ?? 0] ?? ""],
    ["Kind", (DrillKind[drill?.kind ?? 0] ?? "").toLowerCase()],
    ["Node", drill?.nodeId ?? ""],
    ["Began", instant(drill?.startedAt)],
    ["Ended", instant(drill?.endedAt)],
    ["Window", `${drill?.windowSeconds ?? 0} s`],
    ["Notice to decision", ms(drill?.noticeToDecisionMs ?? 0)],
    ["Notice to safe", ms(drill?.noticeToSafeMs ?? 0)],
    ...(drill?.pool ? ([["Pool", drill.pool]] as [string, string][]) : []),
    ...(drill?.priceUsdPerHour ? ([["Announced price", `${drill.priceUsdPerHour} USD an hour`]] as [string, string][]) : []),
    ...(drill?.scheduleId ? ([["Begun by the schedule", drill.scheduleId]] as [string, string][]) : []),
    ["Decision", drill?.decisionId || "-"],
    ["Run by", `${trustDomain}, control plane ${coreVersion}`],
  ];
  const sections: Section[] = [
    {
      title: "Checks",
      head: ["", "Check", "What was seen"],
      rows: (drill?.checks ?? []).map((check) => [check.isPassed ? "passed" : "FAILED", check.name, check.detail]),
      none: "It was stopped before it was judged.",
    },
    {
      title: "Foretold and measured",
      head: [
        "Workload",
        "Certificate",
        "Freeze foretold",
        "measured",
        "ratio",
        "Safe foretold",
        "measured",
        "ratio",
        "Target foretold",
        "taken",
      ],
      rows: (drill?.predictions ?? []).map(predictionRow),
      none: "Nothing ran on the node.",
    },
    {
      title: "Clients",
      head: ["Client", "Requests", "Errors", "Wrong answers", "p99", "Longest gap"],
      rows: (drill?.oracles ?? []).map((seen) => [
        `${seen.name} of ${seen.workload}`,
        String(seen.requestCount),
        String(seen.errorCount),
        String(seen.wrongCount),
        ms(seen.latencyP99Ms),
        ms(seen.longestGapMs),
      ]),
      none: "No client with an oracle watched.",
    },
    {
      title: "Receipts",
      head: ["Migration", "sha256 of its receipt"],
      rows: receipts.map((each) => [each.migrationId, each.sha256]),
      none: "Nothing moved.",
    },
  ];
  return { title: `Drill ${drill?.id ?? ""}`, facts, sections };
}

const predictionRow = (each: DrillPrediction): string[] => [
  each.workload,
  each.verdict || "none",
  ms(each.predictedFreezeMs),
  ms(each.measuredFreezeMs),
  ratio(each.predictedFreezeMs, each.measuredFreezeMs),
  ms(each.predictedTimeToSafeMs),
  ms(each.measuredTimeToSafeMs),
  ratio(each.predictedTimeToSafeMs, each.measuredTimeToSafeMs),
  each.predictedTargetNodeId || "-",
  each.targetNodeId || "-",
];

const signature =
  "Its signature is in the JSON form: aether drill report ID -o FILE, then aether drill report --verify FILE --trust BUNDLE.";

/** Names that a user gave cannot become markup. */
const inMarkdown = (text: string): string => text.replace(/[\\`*_{}[\]<>#|!~]/g, "\\$&").replace(/\s+/g, " ");

export function reportMarkdown(report: DrillReport): string {
  const { title, facts, sections } = contentOf(report);
  const line = (cells: readonly string[]) => `| ${cells.map(inMarkdown).join(" | ")} |`;
  const table = ({ title: name, head, rows, none }: Section) => [
    `## ${name}`,
    "",
    ...(rows.length === 0 ? [none] : [line(head), `|${head.map(() => " --- |").join("")}`, ...rows.map(line)]),
    "",
  ];
  return [
    `# ${inMarkdown(title)}`,
    "",
    ...facts.map(([name, value]) => `- ${name}: ${inMarkdown(value)}`),
    "",
    ...sections.flatMap(table),
    signature,
    "",
  ].join("\n");
}

const inHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (letter) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[letter] ?? "");

const style = `body{font:14px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}
table{border-collapse:collapse;width:100%;margin:0 0 1.5rem}th,td{text-align:left;vertical-align:top;padding:.25rem .5rem;border-bottom:1px solid #bbb}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.5rem}dt{font-weight:600}dd{margin:0}@media print{body{margin:0}h2{break-after:avoid}}`;

export function reportHtml(report: DrillReport): string {
  const { title, facts, sections } = contentOf(report);
  const cells = (tag: "th" | "td", row: readonly string[]) =>
    `<tr>${row.map((cell) => `<${tag}${tag === "th" ? ' scope="col"' : ""}>${inHtml(cell)}</${tag}>`).join("")}</tr>`;
  const body = sections
    .map(({ title: name, head, rows, none }) =>
      rows.length === 0
        ? `<h2>${name}</h2><p>${none}</p>`
        : `<h2>${name}</h2><table><thead>${cells("th", head)}</thead><tbody>${rows.map((row) => cells("td", row)).join("")}</tbody></table>`,
    )
    .join("\n");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${inHtml(title)}</title><style>${style}</style></head>
<body><h1>${inHtml(title)}</h1>
<dl>${facts.map(([name, value]) => `<dt>${name}</dt><dd>${inHtml(value)}</dd>`).join("")}</dl>
${body}
<p>${signature}</p></body></html>
`;
}
