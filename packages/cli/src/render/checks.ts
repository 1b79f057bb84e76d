// A doctor's findings: what is well in a line, what is not with why and how to mend it.
import type { CheckReport } from "@aether/kit";

const marks = { ok: "✓", warn: "!", fail: "✗" } as const;

export function renderChecks(reports: readonly CheckReport[], target: string): string {
  const width = Math.max(0, ...reports.map((report) => report.title.length));
  const lines = reports.map((report) => {
    const line = `${marks[report.status]} ${report.title.padEnd(width)}  ${report.detail}`;
    return report.status === "ok" ? line : `${line}\n    why:  ${report.why}${report.mend ? `\n    mend: ${report.mend}` : ""}`;
  });
  const failed = reports.filter((report) => report.status === "fail").length;
  const warned = reports.filter((report) => report.status === "warn").length;
  const verdict =
    failed > 0
      ? `Not fit for "${target}": ${failed} ${failed === 1 ? "thing is" : "things are"} missing.`
      : `Fit for "${target}"${warned > 0 ? `, with ${warned} ${warned === 1 ? "warning" : "warnings"}` : ""}.`;
  return [...lines, "", verdict].join("\n");
}
