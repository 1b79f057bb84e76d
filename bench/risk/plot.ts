/** Line plots as SVG, drawn from numbers alone: the same numbers give the same bytes. */
export interface Series {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [number, number])[];
  readonly isDashed?: boolean;
}

export interface Plot {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
  readonly xTicks: readonly number[];
  readonly yTicks: readonly number[];
  readonly legend: "left" | "right";
  readonly series: readonly Series[];
}

const WIDTH = 640;
const HEIGHT = 400;
const LEFT = 64;
const RIGHT = 20;
const TOP = 40;
const BOTTOM = 56;

export function drawPlot(plot: Plot): string {
  const sx = (x: number): string => (LEFT + ((x - plot.x[0]) / (plot.x[1] - plot.x[0])) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const sy = (y: number): string => (HEIGHT - BOTTOM - ((y - plot.y[0]) / (plot.y[1] - plot.y[0])) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" role="img">`,
    `<title>${plot.title}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="22" font-size="14" font-weight="bold" fill="#1f2933">${plot.title}</text>`,
  ];
  for (const y of plot.yTicks)
    out.push(
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${sy(y)}" y2="${sy(y)}" stroke="#e4e7eb"/><text x="${LEFT - 8}" y="${Number(sy(y)) + 4}" text-anchor="end" fill="#52606d">${y}</text>`,
    );
  for (const x of plot.xTicks) out.push(`<text x="${sx(x)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#52606d">${x}</text>`);
  out.push(`<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 14}" text-anchor="middle" fill="#1f2933">${plot.xLabel}</text>`);
  out.push(
    `<text transform="translate(16 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle" fill="#1f2933">${plot.yLabel}</text>`,
  );
  const legendX = plot.legend === "left" ? LEFT + 16 : WIDTH - 170;
  for (const [i, s] of plot.series.entries()) {
    const dash = s.isDashed ? ' stroke-dasharray="5 4"' : "";
    out.push(
      `<polyline fill="none" stroke="${s.colour}" stroke-width="2"${dash} points="${s.points.map(([x, y]) => `${sx(x)},${sy(y)}`).join(" ")}"/>`,
    );
    if (!s.isDashed) for (const [x, y] of s.points) out.push(`<circle cx="${sx(x)}" cy="${sy(y)}" r="3" fill="${s.colour}"/>`);
    out.push(
      `<line x1="${legendX}" x2="${legendX + 24}" y1="${TOP + 12 + 18 * i}" y2="${TOP + 12 + 18 * i}" stroke="${s.colour}" stroke-width="2"${dash}/><text x="${legendX + 30}" y="${TOP + 16 + 18 * i}" fill="#1f2933">${s.name}</text>`,
    );
  }
  return `${out.join("\n")}\n</svg>\n`;
}
