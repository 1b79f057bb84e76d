// Tables that fit the terminal: columns as wide as their content, the widest shortened first, never below what still says something.

export interface Column<Row> {
  readonly title: string;
  readonly align?: "left" | "right";
  cell(row: Row): string;
}

const gap = 2;
const minWidth = 6;

/** The table with its titles; `empty` instead when there is no row. */
export function renderTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[], width: number, empty: string): string {
  if (rows.length === 0) return empty;
  const cells = rows.map((row) => columns.map((column) => oneLine(column.cell(row))));
  const titles = columns.map((column) => column.title);
  const widths = fit(
    columns.map((_, i) => Math.max(...[titles, ...cells].map((line) => visibleLength(line[i] ?? "")))),
    width - gap * (columns.length - 1),
  );
  const line = (texts: readonly string[]) =>
    texts
      .map((text, i) => pad(shorten(text, widths[i] ?? 0), widths[i] ?? 0, columns[i]?.align ?? "left"))
      .join(" ".repeat(gap))
      .trimEnd();
  return [titles, ...cells].map(line).join("\n");
}

/** Two columns without titles: names and values. */
export function renderFacts(facts: readonly (readonly [name: string, value: string | undefined])[]): string {
  const shown = facts.filter((fact): fact is readonly [string, string] => fact[1] !== undefined && fact[1] !== "");
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width + gap)}${value}`).join("\n");
}

function fit(wanted: readonly number[], available: number): number[] {
  const widths = [...wanted];
  for (let total = sum(widths); total > available; total--) {
    const widest = widths.indexOf(Math.max(...widths));
    if ((widths[widest] ?? 0) <= minWidth) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
// Control characters of a workload's name or message must not reach the terminal.
const oneLine = (text: string) => text.replace(/\s+/g, " ").replace(/\p{Cc}/gu, "?");
const visibleLength = (text: string) => [...text].length;
const shorten = (text: string, width: number) =>
  visibleLength(text) <= width ? text : `${[...text].slice(0, Math.max(0, width - 1)).join("")}…`;
const pad = (text: string, width: number, align: "left" | "right") => {
  const space = " ".repeat(Math.max(0, width - visibleLength(text)));
  return align === "right" ? space + text : text + space;
};
