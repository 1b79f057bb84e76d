// What clients see: the worst latency of each slice of time, on a logarithmic scale, with every pause marked. Own drawing, no library.
import { badge, drawing, duration, element, empty, show, word } from "./elements.js";

const seconds = 120;
const lowMs = 0.1;
const width = 1_200;
const height = 170;

/** 0 to 1 between two values. */
const inverseLerp = (from, to, value) => (value - from) / (to - from);
const heightOf = (ms, highMs) =>
  height * (1 - Math.min(1, Math.max(0, inverseLerp(Math.log(lowMs), Math.log(highMs), Math.log(Math.max(lowMs, ms))))));

export function showClients({ oracles, migrations }, nowMs) {
  if (oracles.length === 0) {
    return show("clients", empty("No client with an oracle reports. The local cloud's demo does:", "aether up"));
  }
  show(
    "clients",
    oracles.map((oracle) => clientItem(oracle, migrations, nowMs)),
  );
}

function clientItem(oracle, migrations, nowMs) {
  const bad = Number(oracle.errorCount ?? 0) + Number(oracle.wrongCount ?? 0);
  const gap = oracle.longestGapMs ?? 0;
  return element(
    "div",
    { className: "item" },
    element(
      "div",
      { className: "row" },
      element("h3", {}, `${oracle.name} asks ${oracle.workload}`),
      bad === 0
        ? badge("every answer right", "good")
        : badge(`${oracle.errorCount ?? 0} errors, ${oracle.wrongCount ?? 0} wrong answers`, "bad"),
      gap > 0 && badge(`longest pause ${duration(gap)}`, "warn"),
      element(
        "span",
        { className: "soft numbers push" },
        `${Number(oracle.requestCount ?? 0).toLocaleString("en")} requests in ${seconds} s, median ${duration(oracle.latencyP50Ms ?? 0)}`,
      ),
    ),
    plot(
      oracle,
      migrations.filter((each) => each.workload === oracle.workload),
      nowMs,
    ),
    oracle.lastError && element("p", { className: "bad" }, `last error: ${oracle.lastError}`),
  );
}

function plot(oracle, moves, nowMs) {
  const slices = oracle.worstLatencyMs ?? [];
  const sliceMs = oracle.sliceMs || 100;
  const firstMs = Date.parse(oracle.since);
  const fromMs = nowMs - seconds * 1000;
  const highMs = Math.max(100, ...slices) * 1.3;
  const x = (atMs) => width * Math.min(1, Math.max(0, inverseLerp(fromMs, nowMs, atMs)));
  const parts = [];
  for (const move of moves) {
    const [from, to] = [Date.parse(move.createdAt), move.endedAt ? Date.parse(move.endedAt) : nowMs];
    if (to > fromMs)
      parts.push(
        drawing(
          "rect",
          { class: "band", x: x(from), y: 0, width: Math.max(2, x(to) - x(from)), height },
          title(`${move.id}: ${move.sourceNodeId} to ${move.targetNodeId}, ${word(move.state, "MIGRATION_STATE_")}`),
        ),
      );
  }
  for (const gap of oracle.gaps ?? []) {
    const at = Date.parse(gap.at);
    if (at + gap.durationMs > fromMs)
      parts.push(
        drawing(
          "rect",
          { class: "gap", x: x(at), y: 0, width: Math.max(3, x(at + gap.durationMs) - x(at)), height },
          title(`a pause of ${duration(gap.durationMs)}`),
        ),
      );
  }
  const marks = [1, 10, 100, 1_000, 10_000].filter((ms) => ms < highMs);
  for (const ms of marks)
    parts.push(drawing("line", { class: "grid", x1: 0, x2: width, y1: heightOf(ms, highMs), y2: heightOf(ms, highMs) }));
  parts.push(
    drawing("path", {
      class: "curve",
      d: curve(
        slices,
        (i) => x(firstMs + i * sliceMs),
        (i) => firstMs + i * sliceMs >= fromMs,
        highMs,
      ),
    }),
  );
  const svg = drawing(
    "svg",
    {
      class: "graph",
      viewBox: `0 0 ${width} ${height}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": `worst latency of each ${sliceMs} ms in the last ${seconds} s`,
    },
    ...parts,
  );
  const scales = marks.map((ms) => {
    const label = element("span", { className: "scale" }, ms >= 1_000 ? `${ms / 1000} s` : `${ms} ms`);
    label.style.top = `${heightOf(ms, highMs)}px`;
    return label;
  });
  return element(
    "div",
    { className: "plot" },
    scales,
    svg,
    element("p", { className: "row soft" }, `${seconds} s ago`, element("span", { className: "push" }, "now")),
  );
}

/** What nobody reported breaks the line: silence is not a value. One or two slices between two reports are rounding. */
function curve(slices, x, isShown, highMs) {
  let path = "";
  let lastDrawn = Number.NEGATIVE_INFINITY;
  for (const [i, ms] of slices.entries()) {
    if (ms < 0 || !isShown(i)) continue;
    path += `${i - lastDrawn <= 3 ? "L" : "M"}${x(i).toFixed(1)} ${heightOf(ms, highMs).toFixed(1)}`;
    lastDrawn = i;
  }
  return path;
}

const title = (text) => {
  const made = drawing("title");
  made.textContent = text;
  return made;
};
