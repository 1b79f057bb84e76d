// One move: its states as a row of steps, its phases as bars on one line of time, and what the receipt says.
import { badge, bytes, duration, element, empty, show, time, word } from "./elements.js";

const states = ["PLANNED", "PREPARING", "COPYING", "FREEZING", "RESTORING", "VERIFYING", "COMMITTED", "RESUMED", "DONE"];

export function showMove({ move }, act) {
  if (!move) return show("move", empty("Nothing has moved yet. Press a button above, or type", "aether migrate demo"));
  const state = String(move.state).replace("MIGRATION_STATE_", "");
  const isOpen = !move.endedAt;
  const isBeforeCommit = isOpen && !["COMMITTED", "RESUMED", "ROLLING_BACK"].includes(state);
  show(
    "move",
    element(
      "div",
      { className: "row" },
      element("h3", {}, `${move.workload}: ${move.sourceNodeId} → ${move.targetNodeId}`),
      badge(word(state), state === "DONE" ? "good" : isOpen ? "accent" : "bad"),
      element(
        "span",
        { className: "soft" },
        `${word(move.mode, "MIGRATION_MODE_")}, begun ${time(move.createdAt)} by ${move.cause}, `,
        element("code", {}, move.id),
      ),
      isBeforeCommit &&
        element(
          "button",
          { className: "push", data: { key: "cancel" }, onclick: () => act(`/api/v2/migrations/${move.id}:cancel`) },
          "Cancel",
        ),
    ),
    steps(state),
    move.error?.message &&
      element("p", { className: "bad" }, `${move.error.code}: ${move.error.message}`, move.error.hint ? ` — ${move.error.hint}` : ""),
    phases(move),
  );
}

function steps(state) {
  const at = states.indexOf(state);
  const list = states.map((name, i) =>
    element("li", { className: at < 0 ? "" : i < at || state === "DONE" ? "past" : i === at ? "now" : "" }, word(name)),
  );
  if (at < 0) list.push(element("li", { className: state === "ROLLING_BACK" ? "now" : "ended-badly" }, word(state)));
  return element("ul", { className: "steps" }, list);
}

function phases(move) {
  const known = (move.phases ?? [])
    .filter((phase) => phase.startedAt)
    .map((phase) => ({ ...phase, fromMs: Date.parse(phase.startedAt), tookMs: phase.durationMs ?? 0 }));
  if (known.length === 0)
    return element("p", { className: "soft" }, move.endedAt ? "No phases were measured." : "Phases appear as they end.");
  known.sort((a, b) => a.fromMs - b.fromMs);
  const firstMs = Math.min(...known.map((phase) => phase.fromMs));
  const lastMs = Math.max(...known.map((phase) => phase.fromMs + phase.tookMs), firstMs + 1);
  return element(
    "div",
    {},
    known.map((phase) => {
      const side = phase.nodeId === move.targetNodeId ? "target" : "source";
      const bar = element("span", {
        className: `bar ${side} ${phase.outcome === "failed" ? "failed" : ""}`,
        title: Object.entries(phase.facts ?? {})
          .map(([name, value]) => `${name}: ${value}`)
          .join("\n"),
      });
      bar.style.left = `${(100 * (phase.fromMs - firstMs)) / (lastMs - firstMs)}%`;
      bar.style.width = `${(100 * phase.tookMs) / (lastMs - firstMs)}%`;
      return element(
        "div",
        { className: "lane" },
        element("span", {}, phase.name, " ", element("span", { className: "soft" }, phase.nodeId)),
        element("span", { className: "track" }, bar),
        element("span", { className: "numbers" }, duration(phase.tookMs)),
      );
    }),
  );
}

export function showReceipt({ receipt }) {
  if (!receipt) return show("receipt", empty("A finished move leaves a receipt: what left, what arrived, and that it is the same."));
  const network = receipt.network ?? {};
  const row = (name, value) => element("tr", {}, element("th", {}, name), element("td", {}, value));
  show(
    "receipt",
    element(
      "div",
      { className: "row" },
      element("h3", {}, `${receipt.workload}: ${receipt.sourceNodeId} → ${receipt.targetNodeId}`),
      receipt.isWhole ? badge("whole: nothing was lost", "good") : badge("not whole", "bad"),
    ),
    element(
      "table",
      {},
      row("frozen for", duration(receipt.freezeMs ?? 0)),
      row("whole move", duration(receipt.totalMs ?? 0)),
      row("epoch", `${receipt.epochBefore ?? 0} → ${receipt.epochAfter ?? 0}`),
      row("memory", bytes(receipt.leftSource?.memoryBytes)),
      row(
        "packets",
        `${network.packetsHeld ?? 0} held, ${network.packetsReplayed ?? 0} replayed, ${network.packetsDropped ?? 0} dropped, ${network.resetsSent ?? 0} resets`,
      ),
      (receipt.comparisons ?? []).map((each) =>
        row(
          each.what,
          element(
            "span",
            { className: each.isEqual ? "good" : "bad" },
            each.isEqual ? `equal: ${each.source}` : `${each.source} ≠ ${each.target}`,
          ),
        ),
      ),
    ),
  );
}
